//! Going through a bucket in order of keys: what is listed is sorted out.

use jiff::Timestamp;

use super::ranges::Ranges;
use super::{BucketPlace, passed_over};
use crate::format::location::ETag;
use crate::format::name::ObjectKey;
use crate::format::object::ObjectMetadata;
use crate::source::stat::Stat;
use crate::source::{Cause, Found, Item, Unusable};
use crate::store::ListedObject;

/// The objects of a bucket that are to be backed up.
pub(super) struct Listed {
    place: BucketPlace,
    ranges: Ranges,
    page: std::vec::IntoIter<ListedObject>,
    /// The last key that came.
    last: Option<String>,
    is_over: bool,
}

impl Listed {
    /// Goes through what is listed; what is refused comes as an item.
    pub(super) fn new(place: BucketPlace, ranges: Ranges) -> Self {
        Self {
            place,
            ranges,
            page: Vec::new().into_iter(),
            last: None,
            is_over: false,
        }
    }

    fn next_object(&mut self) -> Result<Option<ListedObject>, Unusable> {
        loop {
            if let Some(object) = self.page.next() {
                if self.last.as_ref().is_some_and(|last| object.key <= *last) {
                    return Err(self.out_of_order());
                }
                self.last = Some(object.key.clone());
                return Ok(Some(object));
            }
            match self.ranges.next_page() {
                Ok(Some(page)) => self.page = page.objects.into_iter(),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.place.unusable(&error)),
            }
        }
    }

    fn out_of_order(&self) -> Unusable {
        let message = format!(
            "`{}` is not listed in order of keys: it cannot be compared with its last snapshot",
            self.place.url
        );
        let hint = "directory buckets (S3 Express One Zone) cannot be backed up, nor can servers that list in another order";
        Unusable::new(Cause::Unreadable, message, hint)
    }

    /// The item of an object, unless it is passed over.
    fn item(&self, object: ListedObject) -> Option<Item> {
        let is_marker = object.size == 0 && object.key.ends_with('/');
        let Ok(key) = ObjectKey::parse(&*object.key) else {
            // Nothing but the prefix.
            passed_over(self.ranges.seen()).markers += 1;
            return None;
        };
        if is_marker {
            passed_over(self.ranges.seen()).markers += 1;
            return None;
        }
        let category = self.place.categories.of(&object.key);
        if !self.place.wants(category) || self.place.filter.leaves_out_key(&object.key) {
            return None;
        }
        let metadata = ObjectMetadata {
            etag: ETag(object.etag.bare().to_owned()),
            last_modified: object.last_modified.unwrap_or(Timestamp::UNIX_EPOCH),
            category: category.to_owned(),
            class: object.storage_class,
            version: None,
            tags_sha256: None,
            headers: None,
        };
        Some(Item::Found(Found {
            name: key.into(),
            stat: Stat::made(metadata.common(object.size)),
            object: Some(Box::new(metadata)),
            not_entered: None,
            refused: None,
        }))
    }
}

impl Iterator for Listed {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        while !self.is_over {
            match self.next_object() {
                Ok(Some(object)) => {
                    if let Some(item) = self.item(object) {
                        return Some(item);
                    }
                }
                Ok(None) => self.is_over = true,
                Err(unusable) => {
                    self.is_over = true;
                    return Some(Item::Broken(unusable));
                }
            }
        }
        None
    }
}
