//! An object as the store tells it, against what was recorded when it was sent.
//!
//! The strongest evidence counts: a checksum of a kind that both have, then the ETag, then the size.
//! Where the checksums agree an ETag proves nothing: a copy in place changes it and no byte.

use super::report::{Evidence, FindingKind, Problem};
use crate::format::entry::Digest;
use crate::format::location::{Checksum, ETag, Stored};
use crate::format::objects::SharedObject;
use crate::store::{ListedObject, ObjectInfo, Store, StoreErrorKind, StoreResult};

/// What was recorded of an object; digests in hex.
pub(super) struct Recorded {
    size: u64,
    sha256: Option<String>,
    crc64nvme: Option<String>,
    sha256_of_parts: Option<String>,
    /// No checksum was sent with it, so that the store's own says nothing of what was.
    has_none: bool,
    /// It was sent to another store, and copied from there.
    is_copied: bool,
    etag: Option<ETag>,
}

/// How an object differs from what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mismatch {
    Missing,
    Size {
        recorded: u64,
        stored: u64,
    },
    Checksum {
        algorithm: &'static str,
        recorded: String,
        stored: String,
    },
    /// No checksum that was recorded can be compared, and the store has one of another kind.
    OtherChecksum,
    /// The store has no checksum.
    ETag {
        recorded: String,
        stored: String,
    },
}

/// What a HEAD or a listing has told.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) compared: Result<Evidence, Mismatch>,
    pub(super) is_archived: bool,
}

/// Asks the store what it knows of an object, and compares.
pub(super) async fn look(store: &dyn Store, key: &str, recorded: &Recorded) -> StoreResult<Look> {
    match store.head(key).await {
        Ok(info) => Ok(Look {
            compared: recorded.compare(&info),
            is_archived: info.is_archived,
        }),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Look {
            compared: Err(Mismatch::Missing),
            is_archived: false,
        }),
        Err(error) => Err(error),
    }
}

impl Look {
    /// Whether reading the object can be done and tells more.
    pub(super) fn is_worth_reading(&self) -> bool {
        let is_settled = matches!(
            self.compared,
            Err(Mismatch::Missing | Mismatch::Size { .. })
        );
        !self.is_archived && !is_settled
    }
}

impl Recorded {
    /// An object that holds contents of this digest as they are.
    pub(super) fn of_contents(stored: &Stored, digest: Digest) -> Self {
        let sent = Self::sent(stored.size, stored.checksum, stored.etag.as_ref());
        Self {
            sha256: digest.sha256().map(hex::encode).or(sent.sha256),
            ..sent
        }
    }

    /// Without what is another store's alone: its name for the version, and how it was sent there.
    pub(super) fn copied(mut self, is_copied: bool) -> Self {
        if is_copied {
            self.etag = None;
            self.sha256_of_parts = None;
            self.has_none = false;
            self.is_copied = true;
        }
        self
    }

    pub(super) fn of_shared(object: &SharedObject) -> Self {
        Self {
            crc64nvme: Some(object.crc64nvme.clone()),
            ..Self::sent(object.size, object.checksum, object.etag.as_ref())
        }
    }

    fn sent(size: u64, checksum: Checksum, etag: Option<&ETag>) -> Self {
        let mut recorded = Self {
            size,
            sha256: None,
            crc64nvme: None,
            sha256_of_parts: None,
            has_none: false,
            is_copied: false,
            etag: etag.cloned(),
        };
        match checksum {
            Checksum::Sha256(sha256) => recorded.sha256 = Some(hex::encode(sha256)),
            Checksum::Crc64Nvme(crc) => recorded.crc64nvme = Some(format!("{crc:016x}")),
            Checksum::Sha256OfParts(sha256) => {
                recorded.sha256_of_parts = Some(hex::encode(sha256));
            }
            Checksum::None => recorded.has_none = true,
        }
        recorded
    }

    /// What a listing confirms: the size, and the ETag where one was recorded. `None` where it does not, and a HEAD has
    /// to tell.
    pub(super) fn listed(&self, object: &ListedObject) -> Option<Look> {
        let evidence = match &self.etag {
            _ if object.size != self.size => return None,
            Some(recorded) if recorded.bare() != object.etag.bare() => return None,
            Some(_) => Evidence::ETag,
            None => Evidence::Size,
        };
        Some(Look {
            compared: Ok(evidence),
            is_archived: object.is_archived(),
        })
    }

    fn compare(&self, info: &ObjectInfo) -> Result<Evidence, Mismatch> {
        if info.size != self.size {
            return Err(Mismatch::Size {
                recorded: self.size,
                stored: info.size,
            });
        }
        let stored = [
            info.sha256.map(hex::encode),
            info.crc64nvme.map(|crc| format!("{crc:016x}")),
            info.sha256_of_parts.map(hex::encode),
        ];
        let stored = match self.has_none {
            true => [None, None, None],
            false => stored,
        };
        let has_checksum =
            !self.has_none && (info.has_foreign_checksum || stored.iter().any(Option::is_some));
        let recorded = [
            ("SHA-256", &self.sha256),
            ("CRC-64/NVME", &self.crc64nvme),
            ("SHA-256 of parts", &self.sha256_of_parts),
        ];
        let mut is_same = false;
        for ((algorithm, recorded), stored) in recorded.into_iter().zip(stored) {
            let (Some(recorded), Some(stored)) = (recorded, stored) else {
                continue;
            };
            if *recorded != stored {
                let recorded = recorded.clone();
                return Err(Mismatch::Checksum {
                    algorithm,
                    recorded,
                    stored,
                });
            }
            is_same = true;
        }
        match &self.etag {
            _ if is_same => Ok(Evidence::Checksum),
            // A copy may have been sent in other parts.
            _ if has_checksum && !self.is_copied => Err(Mismatch::OtherChecksum),
            Some(recorded) if recorded.bare() == info.etag.bare() => Ok(Evidence::ETag),
            Some(recorded) => Err(Mismatch::ETag {
                recorded: recorded.bare().to_owned(),
                stored: info.etag.bare().to_owned(),
            }),
            None => Ok(Evidence::Size),
        }
    }
}

impl Mismatch {
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Missing => Problem::missing(),
            Self::Size { recorded, stored } => {
                let (kind, what) = match stored < recorded {
                    true => (FindingKind::Truncated, "truncated"),
                    false => (FindingKind::Altered, "altered"),
                };
                Problem::new(
                    kind,
                    format!("{what}: {stored} bytes instead of {recorded}"),
                )
            }
            Self::Checksum {
                algorithm,
                recorded,
                stored,
            } => Problem::new(
                FindingKind::Altered,
                format!("altered: {algorithm} mismatch: recorded {recorded}, stored {stored}"),
            ),
            Self::OtherChecksum => Problem::new(
                FindingKind::Replaced,
                "put again by something else: the store's checksum is of another kind than the one that was sent",
            ),
            Self::ETag { recorded, stored } => Problem {
                etag: Some(ETag(stored.clone())),
                ..Problem::new(
                    FindingKind::Replaced,
                    format!(
                        "put again by something else: ETag mismatch: recorded {recorded}, stored {stored}"
                    ),
                )
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Recorded {
        Recorded {
            size: 3,
            sha256: Some(hex::encode([7; 32])),
            crc64nvme: Some(format!("{:016x}", 9)),
            sha256_of_parts: None,
            has_none: false,
            is_copied: false,
            etag: Some(ETag("\"e\"".to_owned())),
        }
    }

    fn info() -> ObjectInfo {
        ObjectInfo {
            size: 3,
            etag: ETag("\"e\"".to_owned()),
            sha256: None,
            crc64nvme: None,
            sha256_of_parts: None,
            has_foreign_checksum: false,
            is_archived: false,
        }
    }

    #[test]
    fn the_strongest_evidence_counts() {
        let compare = |info: ObjectInfo| recorded().compare(&info);
        let other = || ETag("\"other\"".to_owned());
        let sha256 = Some([7; 32]);
        assert_eq!(
            compare(ObjectInfo { sha256, ..info() }),
            Ok(Evidence::Checksum)
        );
        let crc64nvme = Some(9);
        let copied = ObjectInfo {
            crc64nvme,
            etag: other(),
            ..info()
        };
        assert_eq!(compare(copied), Ok(Evidence::Checksum), "a copy in place");
        assert_eq!(compare(info()), Ok(Evidence::ETag));
        let unquoted = ETag("e".to_owned());
        assert_eq!(
            compare(ObjectInfo {
                etag: unquoted,
                ..info()
            }),
            Ok(Evidence::ETag)
        );
        let unrecorded = Recorded {
            etag: None,
            ..recorded()
        };
        assert_eq!(unrecorded.compare(&info()), Ok(Evidence::Size));
    }

    #[test]
    fn how_another_store_was_sent_it_says_nothing_of_a_copy() {
        let sent = |checksum| Recorded::sent(3, checksum, Some(&ETag("e".to_owned())));
        let crc64nvme = Some(9);
        let with_crc = ObjectInfo {
            crc64nvme,
            ..info()
        };
        let of_parts = |byte| ObjectInfo {
            sha256_of_parts: Some([byte; 32]),
            ..info()
        };
        let recorded = || sent(Checksum::Sha256OfParts([1; 32]));
        assert_eq!(recorded().compare(&of_parts(1)), Ok(Evidence::Checksum));
        assert!(recorded().compare(&of_parts(2)).is_err());
        assert_eq!(recorded().compare(&with_crc), Err(Mismatch::OtherChecksum));
        let copied = |checksum| sent(checksum).copied(true);
        for checksum in [
            Checksum::Sha256OfParts([1; 32]),
            Checksum::Sha256([1; 32]),
            Checksum::None,
        ] {
            assert_eq!(copied(checksum).compare(&of_parts(2)), Ok(Evidence::Size));
            assert_eq!(copied(checksum).compare(&with_crc), Ok(Evidence::Size));
        }
        let crc = copied(Checksum::Crc64Nvme(9));
        assert_eq!(crc.compare(&with_crc), Ok(Evidence::Checksum));
        assert!(copied(Checksum::Crc64Nvme(8)).compare(&with_crc).is_err());
        // No checksum was sent: that of the store is nobody's.
        let none = sent(Checksum::None);
        assert_eq!(none.compare(&with_crc), Ok(Evidence::ETag));
    }

    #[test]
    fn whatever_differs_is_a_mismatch() {
        let kind = |info: ObjectInfo| recorded().compare(&info).unwrap_err().problem().kind;
        assert_eq!(
            kind(ObjectInfo { size: 2, ..info() }),
            FindingKind::Truncated
        );
        assert_eq!(kind(ObjectInfo { size: 4, ..info() }), FindingKind::Altered);
        let one_of_two = ObjectInfo {
            sha256: Some([7; 32]),
            crc64nvme: Some(8),
            ..info()
        };
        assert_eq!(kind(one_of_two), FindingKind::Altered);
        let other = ETag("\"other\"".to_owned());
        assert_eq!(
            kind(ObjectInfo {
                etag: other,
                ..info()
            }),
            FindingKind::Replaced
        );
        let foreign = ObjectInfo {
            has_foreign_checksum: true,
            ..info()
        };
        assert_eq!(kind(foreign), FindingKind::Replaced);
    }

    #[test]
    fn a_listing_confirms_size_and_etag_and_refutes_nothing() {
        let object = |size, etag: &str, class: Option<&str>| ListedObject {
            key: "k".to_owned(),
            size,
            etag: ETag(etag.to_owned()),
            last_modified: None,
            storage_class: class.map(str::to_owned),
        };
        let look = recorded().listed(&object(3, "e", Some("GLACIER"))).unwrap();
        assert_eq!(
            (look.compared, look.is_archived),
            (Ok(Evidence::ETag), true)
        );
        assert!(recorded().listed(&object(2, "e", None)).is_none());
        assert!(recorded().listed(&object(3, "other", None)).is_none());
        let copied = recorded().copied(true).listed(&object(3, "other", None));
        assert_eq!(copied.unwrap().compared, Ok(Evidence::Size));
    }

    #[test]
    fn without_an_etag_on_record_only_the_size_is_left() {
        let recorded = Recorded {
            etag: None,
            ..recorded()
        };
        assert_eq!(recorded.compare(&info()), Ok(Evidence::Size));
    }
}
