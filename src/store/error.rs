//! What can go wrong with a request to the store, in terms its callers decide on.

use std::fmt;

use crate::exit::ExitCode;

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read an object or a range of it.
    Get,
    /// Ask what the store knows of an object.
    Head,
    /// Write an object.
    Put,
    /// Begin, feed, finish or abort an upload in parts.
    Upload,
    /// List keys or uploads.
    List,
    /// Make another object one of this store's.
    Copy,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "read",
            Self::Head => "look up",
            Self::Put => "write",
            Self::Upload => "upload",
            Self::List => "list",
            Self::Copy => "copy",
        })
    }
}

/// A request that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not {operation} `{location}`: {kind}")]
pub struct StoreError {
    /// What was asked.
    pub operation: Operation,
    /// Bucket and key, or prefix.
    pub location: String,
    /// What the failure means.
    pub kind: StoreErrorKind,
}

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreErrorKind {
    /// No such object.
    #[error("there is no such object")]
    NotFound,
    /// No such bucket.
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// No such directory to keep a store in.
    #[error("the directory does not exist")]
    NoSuchDirectory,
    /// Something else is where a store is to be kept.
    #[error("it is no directory")]
    NoDirectory,
    /// The file system cannot keep a store.
    #[error("this file system can neither link files nor rename them without replacing others")]
    UnfitFileSystem,
    /// There is no room.
    #[error("there is no room left ({0})")]
    Full(String),
    /// The system refuses it to this user.
    #[error("{0}")]
    Forbidden(String),
    /// The file system takes no changes.
    #[error("{0}")]
    ReadOnly(String),
    /// The condition of a put does not hold: the object exists, or is another version.
    #[error("the object exists already, or was changed by somebody else")]
    PreconditionFailed,
    /// The object ends before the range that was asked for.
    #[error("the object is shorter than it should be")]
    TooShort,
    /// The object has more bytes than whoever asked for it expects; it was not read.
    #[error("the object is larger than {at_most} bytes, the most that is expected there")]
    TooLarge {
        /// How many were expected at most.
        at_most: u64,
    },
    /// Somebody else was writing the same object at the same time; nobody knows who was first.
    #[error("conflicting writes ({0})")]
    Conflict(String),
    /// Refused for this identity.
    #[error("access denied ({0})")]
    AccessDenied(String),
    /// There are no credentials, or they are refused.
    #[error("no usable credentials: {0}")]
    Credentials(String),
    /// Whoever gives credentials does not do so now.
    #[error("cannot get credentials: {0}")]
    CredentialsUnavailable(String),
    /// This machine's clock and the store's are too far apart for a signature.
    #[error("this machine's clock is wrong ({0})")]
    ClockSkew(String),
    /// The bucket is in another region, or the request was signed for another one.
    #[error("the bucket is not in this region ({0})")]
    WrongRegion(String),
    /// The object is in an archive class and has to be restored first.
    #[error("the object is archived ({0})")]
    Archived(String),
    /// Too many requests, still so after all retries.
    #[error("the store is throttling ({0})")]
    Throttled(String),
    /// The store failed, still so after all retries.
    #[error("the store failed ({0})")]
    Unavailable(String),
    /// The connection failed, still so after all retries.
    #[error("no answer: {0}")]
    Transport(String),
    /// The bytes that arrived were not the bytes that were sent.
    #[error("damaged on the way ({0})")]
    Damaged(String),
    /// The answer is not one that this request can have: something else than the store has given it, or
    /// a success lacks what would prove it. What became of the request is not known.
    #[error("unexpected answer ({0})")]
    UnexpectedAnswer(String),
    /// Refused for good, for what it says.
    #[error("refused ({0})")]
    Rejected(String),
    /// The store does not know what it was asked for.
    #[error("the store cannot do what is needed ({0})")]
    Unsupported(String),
    /// The store does not do any more what it did when it was tried.
    #[error("the store {0}, which it did when it was tried")]
    AbilityGone(&'static str),
}

impl StoreErrorKind {
    /// Whether the same request may well succeed at once, although the SDK does not repeat it.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Conflict(_) | Self::UnexpectedAnswer(_) => true,
            Self::NotFound
            | Self::NoSuchBucket
            | Self::NoSuchDirectory
            | Self::NoDirectory
            | Self::UnfitFileSystem
            | Self::Full(_)
            | Self::Forbidden(_)
            | Self::ReadOnly(_)
            | Self::PreconditionFailed
            | Self::TooShort
            | Self::TooLarge { .. }
            | Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::CredentialsUnavailable(_)
            | Self::ClockSkew(_)
            | Self::WrongRegion(_)
            | Self::Archived(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Rejected(_)
            | Self::Unsupported(_)
            | Self::AbilityGone(_) => false,
        }
    }

    /// Whether a pass that fails for this may well succeed some minutes later, without anybody having
    /// changed anything.
    #[must_use]
    pub fn is_worth_another_pass(&self) -> bool {
        match self {
            Self::Conflict(_)
            | Self::CredentialsUnavailable(_)
            | Self::ClockSkew(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Damaged(_)
            | Self::UnexpectedAnswer(_) => true,
            Self::NotFound
            | Self::NoSuchBucket
            | Self::NoSuchDirectory
            | Self::NoDirectory
            | Self::UnfitFileSystem
            | Self::Full(_)
            | Self::Forbidden(_)
            | Self::ReadOnly(_)
            | Self::PreconditionFailed
            | Self::TooShort
            | Self::TooLarge { .. }
            | Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::WrongRegion(_)
            | Self::Archived(_)
            | Self::Rejected(_)
            | Self::Unsupported(_)
            | Self::AbilityGone(_) => false,
        }
    }

    /// Whether every other request of this pass would fail the same way.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NoSuchBucket
            | Self::NoSuchDirectory
            | Self::NoDirectory
            | Self::UnfitFileSystem
            | Self::Full(_)
            | Self::Forbidden(_)
            | Self::ReadOnly(_)
            | Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::CredentialsUnavailable(_)
            | Self::ClockSkew(_)
            | Self::WrongRegion(_)
            | Self::Unsupported(_)
            | Self::AbilityGone(_) => true,
            Self::NotFound
            | Self::TooShort
            | Self::TooLarge { .. }
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Archived(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Damaged(_)
            | Self::UnexpectedAnswer(_)
            | Self::Rejected(_) => false,
        }
    }

    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotFound | Self::NoSuchBucket | Self::NoSuchDirectory | Self::NoDirectory => {
                ExitCode::NotFound
            }
            Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::Forbidden(_)
            | Self::ReadOnly(_) => ExitCode::Denied,
            Self::WrongRegion(_) | Self::UnfitFileSystem | Self::Unsupported(_) => ExitCode::Usage,
            Self::TooShort | Self::TooLarge { .. } => ExitCode::Integrity,
            Self::PreconditionFailed
            | Self::Full(_)
            | Self::Conflict(_)
            | Self::CredentialsUnavailable(_)
            | Self::ClockSkew(_)
            | Self::Archived(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Damaged(_)
            | Self::UnexpectedAnswer(_)
            | Self::Rejected(_)
            | Self::AbilityGone(_) => ExitCode::Failed,
        }
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchBucket => Some(
                "check `backup.s3.bucket` (or --bucket) and the account; create it with `aws s3 mb s3://BUCKET`",
            ),
            Self::NoSuchDirectory => Some(
                "mount the volume that belongs there; for a new store, make the directory: offsite does not, because it would fill the disk below a volume that is not mounted",
            ),
            Self::NoDirectory => Some("a store in the file system is a directory: name that one"),
            Self::UnfitFileSystem => Some(
                "keep the store on ext4, xfs, btrfs, NFS or EFS, or in a bucket: here two passes could overwrite what the other one has written",
            ),
            Self::Full(_) => Some(
                "make room in the file system of the store, or a quota larger; nothing that was committed is affected",
            ),
            Self::Forbidden(_) => Some(
                "run this as the user whose store it is, or as root; if passes are to run as this user, give them the directory and all that is in it: `chown -R`; on Kubernetes, docs/OPERATIONS.md says how",
            ),
            Self::ReadOnly(_) => Some(
                "mount the file system of the store for writing; after errors of its disk, the kernel makes it read-only (`dmesg` tells)",
            ),
            Self::AccessDenied(_) => Some(
                "the role needs s3:GetObject, s3:PutObject, s3:AbortMultipartUpload and s3:ListBucket here; `aws sts get-caller-identity` shows who you are",
            ),
            Self::Credentials(_) => Some(
                "give the task or pod a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and see that they are of this store and still hold",
            ),
            Self::CredentialsUnavailable(_) => Some(
                "STS, the agent or the metadata service that gives credentials did not do so within a minute; run it again, and check the network path to it if this persists",
            ),
            Self::ClockSkew(_) => Some(
                "set this machine's clock: signatures are valid for 15 minutes; `chronyc tracking` or `timedatectl` shows whether it is synchronized",
            ),
            Self::WrongRegion(_) => {
                Some("set `backup.s3.region` (or AWS_REGION) to the bucket's region")
            }
            Self::Archived(_) => {
                Some("request it with `aws s3api restore-object`, wait, and run the command again")
            }
            Self::Throttled(_) => Some("lower `backup.limits.concurrency`, or run at another hour"),
            Self::Transport(_) => Some(
                "check the network path to the store, `backup.s3.endpoint_url` and the proxy variables",
            ),
            Self::Damaged(_) => Some(
                "look for a proxy, a network card or memory that damages data between here and the store, and run the command again",
            ),
            Self::UnexpectedAnswer(_) => Some(
                "a proxy, a load balancer or a captive portal may answer in place of the store: check `backup.s3.endpoint_url` and the proxy variables",
            ),
            Self::TooLarge { .. } => {
                Some("something else than offsite has written it: read it, and move it away")
            }
            Self::Unsupported(_) => {
                Some("docs/STORES.md says what a store has to be able to do, and which servers can")
            }
            Self::AbilityGone(_) => Some(
                "run it again: the next pass tries out what the store can do now; docs/STORES.md has what follows",
            ),
            Self::NotFound
            | Self::TooShort
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Unavailable(_)
            | Self::Rejected(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pass_is_worth_it_only_for_what_ends_with_1() {
        use StoreErrorKind as Kind;
        let some = String::new;
        for (kind, expected) in [
            (Kind::NotFound, false),
            (Kind::NoSuchBucket, false),
            (Kind::NoSuchDirectory, false),
            (Kind::NoDirectory, false),
            (Kind::UnfitFileSystem, false),
            (Kind::Full(some()), false),
            (Kind::Forbidden(some()), false),
            (Kind::ReadOnly(some()), false),
            (Kind::PreconditionFailed, false),
            (Kind::TooShort, false),
            (Kind::TooLarge { at_most: 1 }, false),
            (Kind::Conflict(some()), true),
            (Kind::AccessDenied(some()), false),
            (Kind::Credentials(some()), false),
            (Kind::CredentialsUnavailable(some()), true),
            (Kind::ClockSkew(some()), true),
            (Kind::WrongRegion(some()), false),
            (Kind::Archived(some()), false),
            (Kind::Throttled(some()), true),
            (Kind::Unavailable(some()), true),
            (Kind::Transport(some()), true),
            (Kind::Damaged(some()), true),
            (Kind::UnexpectedAnswer(some()), true),
            (Kind::Rejected(some()), false),
            (Kind::Unsupported(some()), false),
            (Kind::AbilityGone(""), false),
        ] {
            assert_eq!(kind.is_worth_another_pass(), expected, "{kind}");
            assert!(!expected || kind.exit_code() == ExitCode::Failed, "{kind}");
        }
    }
}
