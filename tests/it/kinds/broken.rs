//! Kinds that break the contract of sources, each in one way. The suite has to see it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use offsite::source::stat::Stat;
use offsite::source::{Found, Item, Items, Opened, Place, Refused, Scope, Source, Unusable};

use super::kind::{KindOfSource, Trouble};
use super::lines::Lines;

/// The lines of a file, with something wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Broken {
    /// Times stay the same, whatever changes.
    Times,
    /// Everything changes while it is read.
    Recheck,
    /// Any other source may take its place.
    Confirm,
    /// It is never empty.
    NeverEmpty,
    /// It is always empty.
    AlwaysEmpty,
    /// It gives out what nobody asks for.
    Scope,
    /// It has no root.
    Root,
    /// Its items come in any order.
    Order,
    /// What cannot be read is called gone.
    Gone,
    /// What cannot be looked at is left out.
    LeftOut,
}

pub(super) const ALL: [Broken; 10] = [
    Broken::Times,
    Broken::Recheck,
    Broken::Confirm,
    Broken::NeverEmpty,
    Broken::AlwaysEmpty,
    Broken::Scope,
    Broken::Root,
    Broken::Order,
    Broken::Gone,
    Broken::LeftOut,
];

impl KindOfSource for Broken {
    fn place(&self, home: &Path) -> Arc<dyn Place> {
        Arc::new(BrokenPlace(Lines::AsFiles.place(home), *self))
    }

    fn fill(&self, home: &Path, items: &[&str]) -> BTreeMap<String, Vec<u8>> {
        Lines::AsFiles.fill(home, items)
    }

    fn replace(&self, home: &Path) {
        Lines::AsFiles.replace(home);
    }

    fn take_away(&self, home: &Path) {
        Lines::AsFiles.take_away(home);
    }

    fn troubles(&self) -> &'static [Trouble] {
        Lines::AsFiles.troubles()
    }

    fn fill_with(&self, home: &Path, items: &[&str], trouble: (usize, Trouble)) {
        Lines::AsFiles.fill_with(home, items, trouble);
    }
}

#[derive(Debug)]
struct BrokenPlace(Arc<dyn Place>, Broken);

impl Place for BrokenPlace {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn text(&self) -> String {
        self.0.text()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        Ok(Arc::new(BrokenSource(self.0.open()?, self.1)))
    }
}

struct BrokenSource(Arc<dyn Source>, Broken);

impl Source for BrokenSource {
    fn items(&self, scope: &Scope) -> Result<Items, Unusable> {
        let everything = Scope::default();
        let items = match self.1 {
            Broken::Scope => self.0.items(&everything)?,
            _ => self.0.items(scope)?,
        };
        Ok(match self.1 {
            Broken::Times => Box::new(items.map(|item| match item {
                Item::Found(found) => Item::Found(Found {
                    stat: timeless(found.stat),
                    ..found
                }),
                other => other,
            })),
            Broken::Root => Box::new(items.skip(1)),
            Broken::Order => {
                let mut items: Vec<_> = items.collect();
                items[1..].reverse();
                Box::new(items.into_iter())
            }
            Broken::LeftOut => Box::new(items.filter(|item| !matches!(item, Item::Unreadable(..)))),
            _ => items,
        })
    }

    fn open(&self, found: &Found) -> Result<Opened, Refused> {
        match (self.1, self.0.open(found)) {
            (Broken::Times, Ok(opened)) => Ok(Opened {
                stat: timeless(opened.stat),
                ..opened
            }),
            (Broken::Gone, Err(_)) => Err(Refused::Gone),
            (_, opened) => opened,
        }
    }

    fn recheck(&self, opened: &Opened) -> Result<Option<Stat>, Refused> {
        match self.1 {
            Broken::Recheck => Ok(Some(opened.stat)),
            _ => self.0.recheck(opened),
        }
    }

    fn confirm(&self) -> Result<(), Unusable> {
        match self.1 {
            Broken::Confirm => Ok(()),
            _ => self.0.confirm(),
        }
    }

    fn is_empty(&self) -> io::Result<bool> {
        match self.1 {
            Broken::NeverEmpty => Ok(false),
            Broken::AlwaysEmpty => Ok(true),
            _ => self.0.is_empty(),
        }
    }
}

fn timeless(mut stat: Stat) -> Stat {
    stat.metadata.mtime_ns = 1;
    stat.metadata.ctime_ns = 1;
    stat
}
