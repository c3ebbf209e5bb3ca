//! Files in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use offsite::source::Place;
use offsite::source::directory::DirectoryPlace;
use offsite::source::filter::Filter;

use super::kind::KindOfSource;

pub(super) struct Directory;

impl KindOfSource for Directory {
    fn place(&self, home: &Path) -> Arc<dyn Place> {
        Arc::new(DirectoryPlace {
            directory: home.join("data"),
            written_as: home.join("data"),
            filter: Filter::default(),
            one_file_system: false,
            xattrs: false,
        })
    }

    fn fill(&self, home: &Path, items: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let data = home.join("data");
        let named = items.iter().enumerate();
        let named = named.map(|(n, item)| (format!("{n:03}"), item.as_bytes().to_vec()));
        let expected: BTreeMap<String, Vec<u8>> = named.collect();
        for entry in fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            if !expected.contains_key(path.file_name().unwrap().to_str().unwrap()) {
                fs::remove_file(path).unwrap();
            }
        }
        for (name, contents) in &expected {
            if fs::read(data.join(name)).ok().as_ref() != Some(contents) {
                fs::write(data.join(name), contents).unwrap();
            }
        }
        expected
    }
    fn replace(&self, home: &Path) {
        self.take_away(home);
        fs::create_dir(home.join("data")).unwrap();
        fs::write(home.join("data/other"), "other").unwrap();
    }

    fn take_away(&self, home: &Path) {
        fs::rename(home.join("data"), home.join("another name")).unwrap();
    }
}
