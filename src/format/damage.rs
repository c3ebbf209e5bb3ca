//! Objects that are damaged in the store: what a mark says of them, and which entries they cost.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::location::{Location, ObjectId};

/// An object that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObject {
    /// Its key, under the prefix.
    pub key: String,
    /// What is wrong with it: `missing`, `truncated`, `altered`.
    pub problem: String,
    /// The name of a shared object, which an archive is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    /// Then: where the damaged parts of it begin, in bytes. Nowhere means that all of it is damaged.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub offsets: BTreeSet<u64>,
    /// Some of the files in it, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl DamagedObject {
    /// Whether all that `other` says is damaged is damaged by this one as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_all = self.offsets.is_empty();
        let has_parts = !other.offsets.is_empty() && self.offsets.is_superset(&other.offsets);
        (&self.key, self.object) == (&other.key, other.object) && (is_all || has_parts)
    }
}

/// Damaged objects, to be asked for.
#[derive(Debug, Default)]
pub struct DamagedContents {
    objects: Vec<DamagedObject>,
    by_key: HashMap<String, usize>,
    by_id: HashMap<ObjectId, usize>,
}

impl DamagedContents {
    /// All of these.
    #[must_use]
    pub fn of(objects: Vec<DamagedObject>) -> Self {
        let mut damaged = Self::default();
        for object in objects {
            damaged.add(object);
        }
        damaged
    }

    fn add(&mut self, object: DamagedObject) {
        let known = match object.object {
            Some(id) => self.by_id.get(&id),
            None => self.by_key.get(&object.key),
        };
        if let Some(known) = known.and_then(|at| self.objects.get_mut(*at)) {
            // All of it, or the parts that either says.
            match known.offsets.is_empty() || object.offsets.is_empty() {
                true => known.offsets.clear(),
                false => known.offsets.extend(object.offsets),
            }
            return;
        }
        let at = self.objects.len();
        match object.object {
            Some(id) => self.by_id.insert(id, at),
            None => self.by_key.insert(object.key.clone(), at),
        };
        self.objects.push(object);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn objects(&self) -> &[DamagedObject] {
        &self.objects
    }

    /// The damaged object in which the contents of an entry lie, by its number.
    #[must_use]
    pub fn find(&self, entry: &Entry) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        match &entry.content.as_ref()?.location {
            Location::Inline => None,
            Location::Object(stored) => self.by_key.get(&*stored.key).copied(),
            Location::Member(member) => {
                let at = *self.by_id.get(&member.of)?;
                let offsets = &self.objects.get(at)?.offsets;
                (offsets.is_empty() || offsets.contains(&member.offset)).then_some(at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::codec::Codec;
    use crate::format::entry::{Content, Digest, Kind, Metadata};
    use crate::format::location::{Checksum, Member, Stored};
    use crate::format::path::EntryPath;

    fn entry(location: Location) -> Entry {
        let metadata = Metadata {
            kind: Kind::File,
            size: 1,
            mtime_ns: 0,
            ctime_ns: 0,
            mode: 0,
            uid: 0,
            gid: 0,
        };
        let mut entry = Entry::new(EntryPath::parse("x").unwrap(), metadata);
        entry.content = Some(Content {
            digest: Digest::Sha256([0; 32]),
            pass: "20251227T020000Z-7f3a".parse().unwrap(),
            captured_as: None,
            location,
        });
        entry
    }

    #[test]
    fn an_entry_is_damaged_where_its_object_or_its_part_of_one_is() {
        let id = |number| ObjectId {
            pass: "20251227T020000Z-7f3a".parse().unwrap(),
            number,
        };
        let object = |key: &str, object, offsets: &[u64]| DamagedObject {
            key: key.to_owned(),
            problem: "altered".to_owned(),
            object,
            offsets: offsets.iter().copied().collect(),
            paths: Vec::new(),
        };
        let damaged = DamagedContents::of(vec![
            object("a", None, &[]),
            object("tar", Some(id(0)), &[10]),
            object("tar", Some(id(0)), &[20]),
            object("other.tar", Some(id(1)), &[]),
        ]);
        let stored = |key: &str| {
            entry(Location::Object(Box::new(Stored {
                key: key.into(),
                size: 1,
                checksum: Checksum::None,
                etag: None,
            })))
        };
        let member = |of, offset| {
            entry(Location::Member(Box::new(Member {
                of,
                offset,
                length: 5,
                codec: Codec::None,
                skip: 0,
            })))
        };
        let part = object("tar", Some(id(0)), &[10]);
        let (more, all) = (
            object("tar", Some(id(0)), &[10, 20]),
            object("tar", Some(id(0)), &[]),
        );
        for (one, other, covers) in [
            (&part, &part, true),
            (&more, &part, true),
            (&part, &more, false),
            (&all, &more, true),
            (&more, &all, false),
            (&all, &object("other.tar", Some(id(1)), &[]), false),
        ] {
            assert_eq!(one.covers(other), covers, "{one:?} {other:?}");
        }
        assert_eq!(damaged.find(&stored("a")), Some(0));
        assert_eq!(damaged.find(&stored("b")), None);
        assert_eq!(damaged.find(&member(id(0), 10)), Some(1));
        assert_eq!(damaged.find(&member(id(0), 20)), Some(1));
        assert_eq!(damaged.find(&member(id(0), 15)), None);
        assert_eq!(damaged.find(&member(id(1), 15)), Some(2));
        assert_eq!(damaged.find(&entry(Location::Inline)), None);
    }
}
