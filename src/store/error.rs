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
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "read",
            Self::Head => "look up",
            Self::Put => "write",
            Self::Upload => "upload",
            Self::List => "list",
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
    /// The condition of a put does not hold: the object exists, or is another version.
    #[error("the object exists already, or was changed by somebody else")]
    PreconditionFailed,
    /// The object ends before the range that was asked for.
    #[error("the object is shorter than it should be")]
    TooShort,
    /// Somebody else was writing the same object at the same time; nobody knows who was first.
    #[error("conflicting writes ({0})")]
    Conflict(String),
    /// Refused for this identity.
    #[error("access denied ({0})")]
    AccessDenied(String),
    /// There are no credentials, or they cannot be used.
    #[error("no usable credentials: {0}")]
    Credentials(String),
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
    /// Refused for good, for what it says.
    #[error("refused ({0})")]
    Rejected(String),
}

impl StoreErrorKind {
    /// Whether the same request may well succeed at once, although the SDK does not repeat it.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Conflict(_) => true,
            Self::NotFound
            | Self::NoSuchBucket
            | Self::PreconditionFailed
            | Self::TooShort
            | Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::WrongRegion(_)
            | Self::Archived(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Rejected(_) => false,
        }
    }

    /// Whether a pass that fails for this may well succeed some minutes later, without anybody having
    /// changed anything.
    #[must_use]
    pub fn is_worth_another_pass(&self) -> bool {
        match self {
            Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Conflict(_)
            | Self::Damaged(_) => true,
            Self::NotFound
            | Self::NoSuchBucket
            | Self::PreconditionFailed
            | Self::TooShort
            | Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::WrongRegion(_)
            | Self::Archived(_)
            | Self::Rejected(_) => false,
        }
    }

    /// Whether every other request of this pass would fail the same way.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NoSuchBucket
            | Self::AccessDenied(_)
            | Self::Credentials(_)
            | Self::WrongRegion(_) => true,
            Self::NotFound
            | Self::TooShort
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Archived(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Damaged(_)
            | Self::Rejected(_) => false,
        }
    }

    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotFound | Self::NoSuchBucket => ExitCode::NotFound,
            Self::AccessDenied(_) | Self::Credentials(_) => ExitCode::Denied,
            Self::WrongRegion(_) => ExitCode::Usage,
            Self::TooShort => ExitCode::Integrity,
            Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Archived(_)
            | Self::Throttled(_)
            | Self::Unavailable(_)
            | Self::Transport(_)
            | Self::Damaged(_)
            | Self::Rejected(_) => ExitCode::Failed,
        }
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchBucket => Some(
                "check `backup.s3.bucket` (or --bucket) and the account; create it with `aws s3 mb s3://BUCKET`",
            ),
            Self::AccessDenied(_) => Some(
                "the role needs s3:GetObject, s3:PutObject, s3:AbortMultipartUpload and s3:ListBucket here; `aws sts get-caller-identity` shows who you are",
            ),
            Self::Credentials(_) => Some(
                "give the task or pod a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and see that they are of this store and still hold",
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
            Self::NotFound
            | Self::TooShort
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Unavailable(_)
            | Self::Rejected(_) => None,
        }
    }
}
