//! A snapshot of a bucket of generated objects that nobody had to copy: what is listed is written as a pass would have
//! recorded it. With it, a pass over millions of objects that have not changed can be looked at.

use std::collections::BTreeSet;

use local_s3::LocalS3;
use offsite::format::entry::{Content, Digest, Entry};
use offsite::format::keys::SourceName;
use offsite::format::location::{Checksum, Location, Stored};
use offsite::format::name::Order;
use offsite::format::requires::Requires;
use offsite::format::segment::{Header, SegmentRef, SegmentWriter};
use offsite::format::snapshot::{Record, Snapshot};
use offsite::format::totals::Totals;
use offsite::source::{Found, Item, Scope};

use super::place::NAME;
use super::ranges::{items, place};
use super::{BUCKET_SOURCE, Documents};
use crate::support::{BUCKET, PREFIX};

/// As many as a segment has by default.
const SEGMENT_ENTRIES: u64 = 131_072;

/// A world whose source is a bucket of so many generated objects, with a snapshot of them all.
pub(crate) fn recorded(count: u64) -> Documents {
    let builder = LocalS3::builder().bucket(BUCKET);
    let server = builder.generated_bucket(BUCKET_SOURCE, count);
    let world = Documents::on(server.start().unwrap());
    // One is enough to begin with.
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources: [{{name: {NAME}, \
         bucket: {{name: {BUCKET_SOURCE}}}, include: ['/000000/0000000000.jpg']}}]\n"
    ));
    world.back_up();
    let key = world.full_key(&world.key_like("snapshots/", ".json"));
    let record = world.server.object(BUCKET, &key).unwrap();
    let Record::Live(snapshot) = Record::parse(&record.bytes).unwrap() else {
        panic!("it is live");
    };
    let snapshot = write(&world, *snapshot);
    assert_eq!(snapshot.totals.entries, count);
    world.server.replace(BUCKET, &key, snapshot.to_bytes());
    world.configure_bucket("");
    world
}

/// Writes segments of everything there is.
fn write(world: &Documents, snapshot: Snapshot) -> Snapshot {
    let header = Header {
        format: snapshot.format,
        requires: Requires::of(Order::Key),
        source: SourceName::parse(NAME).unwrap(),
        pass: snapshot.pass,
        generation: snapshot.generation,
        order: Order::Key,
        scan_started_ns: 0,
        xattrs: false,
    };
    let mut segments = Vec::new();
    let mut writer = SegmentWriter::new(&header);
    let put = |writer: SegmentWriter, segments: &mut Vec<SegmentRef>| {
        let (number, pass) = (segments.len(), snapshot.pass);
        let key = format!("manifests/{NAME}/{pass}/900-{number:05}.ndjson.zst");
        let body = writer.finish();
        world
            .server
            .replace(BUCKET, &world.full_key(&key), body.bytes.clone());
        segments.push(body.stored_as(key));
    };
    items(&place(&world.server), &Scope::default(), |all| {
        for item in all {
            let Item::Found(found) = item else {
                panic!("{item:?}");
            };
            writer.push(&entry(&found, &snapshot));
            if writer.entries() == SEGMENT_ENTRIES {
                let full = std::mem::replace(&mut writer, SegmentWriter::new(&header));
                put(full, &mut segments);
            }
        }
    });
    if writer.entries() > 0 {
        put(writer, &mut segments);
    }
    let keys: BTreeSet<_> = segments.iter().map(|segment| &segment.key).collect();
    assert_eq!(keys.len(), segments.len());
    let mut totals = Totals::default();
    for segment in &segments {
        totals += segment.totals;
    }
    Snapshot {
        totals,
        segments,
        ..snapshot
    }
}

fn entry(found: &Found, snapshot: &Snapshot) -> Entry {
    let object = found.object.as_ref().unwrap();
    let (pass, category) = (snapshot.pass, &object.category);
    let size = found.stat.metadata.size;
    let mut entry = Entry::new(found.name.clone(), found.stat.metadata);
    entry.object = Some(object.clone());
    entry.content = Some(Content {
        digest: Digest::Vouched,
        pass,
        captured_as: None,
        location: Location::Object(Box::new(Stored {
            key: format!("copies/{NAME}/{pass}/{category}/{}", found.name).into(),
            size,
            checksum: Checksum::None,
            etag: Some(object.etag.clone()),
        })),
    });
    entry
}
