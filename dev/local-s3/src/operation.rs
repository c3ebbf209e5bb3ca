//! Which S3 operation a request is: one pure function of method, path, query and headers.
//!
//! Everything that speaks of operations (faults, hooks, the log, the statistics) uses this
//! classification and no other. It understands path-style addresses only and does not judge whether
//! the request is valid.

use http::{HeaderMap, Method, Uri};
use serde::Serialize;

macro_rules! operations {
    ($($name:ident),+ $(,)?) => {
        /// The S3 operations this server tells apart, by their names in the S3 API reference.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum Operation {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                $name,
            )+
            /// Anything else: subresources this server does not know, or not S3 at all.
            Other,
        }

        impl Operation {
            /// Every operation, [`Operation::Other`] last.
            pub const ALL: &[Self] = &[$(Self::$name,)+ Self::Other];

            /// The name as the S3 API reference spells it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                    Self::Other => "Other",
                }
            }
        }
    };
}

operations![
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateBucket,
    CreateMultipartUpload,
    DeleteBucket,
    DeleteObject,
    DeleteObjectTagging,
    DeleteObjects,
    GetBucketLocation,
    GetBucketVersioning,
    GetObject,
    GetObjectAttributes,
    GetObjectTagging,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListMultipartUploads,
    ListObjectVersions,
    ListObjects,
    ListObjectsV2,
    ListParts,
    PutBucketVersioning,
    PutObject,
    PutObjectTagging,
    RestoreObject,
    UploadPart,
    UploadPartCopy,
];

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    pub(crate) bucket: Option<String>,
    pub(crate) key: Option<String>,
}

impl Target {
    /// Classifies a path-style request.
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = urlencoding::decode_binary(uri.path().as_bytes());
        let path = String::from_utf8_lossy(&path);
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = Query::of(uri);
        let operation = match (bucket, key) {
            ("", _) => service_operation(method),
            (_, "") => bucket_operation(method, &query),
            _ => object_operation(method, &query, headers.contains_key("x-amz-copy-source")),
        };
        let text = |part: &str| (!part.is_empty()).then(|| part.to_owned());
        Self {
            operation,
            bucket: text(bucket),
            key: text(key),
        }
    }
}

/// A query string, decoded.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        Self::parse(uri.query().unwrap_or_default())
    }

    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }
}

/// In a query string a plus sign is a space.
fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    String::from_utf8_lossy(&urlencoding::decode_binary(text.as_bytes())).into_owned()
}

fn service_operation(method: &Method) -> Operation {
    if method == Method::GET {
        Operation::ListBuckets
    } else {
        Operation::Other
    }
}

/// Bucket subresources that are not implemented; without this list they would pass for a listing or
/// a creation.
const FOREIGN_BUCKET_SUBRESOURCES: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "session",
    "tagging",
    "website",
];

fn bucket_operation(method: &Method, query: &Query) -> Operation {
    if query.has_any(FOREIGN_BUCKET_SUBRESOURCES) {
        return Operation::Other;
    }
    match *method {
        Method::GET if query.has("location") => Operation::GetBucketLocation,
        Method::GET if query.has("versioning") => Operation::GetBucketVersioning,
        Method::GET if query.has("uploads") => Operation::ListMultipartUploads,
        Method::GET if query.has("versions") => Operation::ListObjectVersions,
        Method::GET if query.get("list-type") == Some("2") => Operation::ListObjectsV2,
        Method::GET => Operation::ListObjects,
        Method::HEAD => Operation::HeadBucket,
        Method::POST if query.has("delete") => Operation::DeleteObjects,
        Method::PUT if query.has("versioning") => Operation::PutBucketVersioning,
        Method::PUT => Operation::CreateBucket,
        Method::DELETE => Operation::DeleteBucket,
        _ => Operation::Other,
    }
}

/// Object subresources that are not implemented.
const FOREIGN_OBJECT_SUBRESOURCES: &[&str] = &[
    "acl",
    "legal-hold",
    "renameObject",
    "retention",
    "select",
    "torrent",
];

fn object_operation(method: &Method, query: &Query, is_copy: bool) -> Operation {
    if query.has_any(FOREIGN_OBJECT_SUBRESOURCES) {
        return Operation::Other;
    }
    match *method {
        Method::GET if query.has("attributes") => Operation::GetObjectAttributes,
        Method::GET if query.has("tagging") => Operation::GetObjectTagging,
        Method::GET if query.has("uploadId") => Operation::ListParts,
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        Method::PUT if query.has("uploadId") && is_copy => Operation::UploadPartCopy,
        Method::PUT if query.has("uploadId") => Operation::UploadPart,
        Method::PUT if query.has("tagging") => Operation::PutObjectTagging,
        Method::PUT if is_copy => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::POST if query.has("uploads") => Operation::CreateMultipartUpload,
        Method::POST if query.has("uploadId") => Operation::CompleteMultipartUpload,
        Method::POST if query.has("restore") => Operation::RestoreObject,
        Method::DELETE if query.has("uploadId") => Operation::AbortMultipartUpload,
        Method::DELETE if query.has("tagging") => Operation::DeleteObjectTagging,
        Method::DELETE => Operation::DeleteObject,
        _ => Operation::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, uri: &str) -> Operation {
        Target::of(
            &method.parse().unwrap(),
            &uri.parse().unwrap(),
            &HeaderMap::new(),
        )
        .operation
    }

    #[test]
    fn every_operation_has_its_request() {
        let cases = [
            ("GET", "/", Operation::ListBuckets),
            ("PUT", "/b", Operation::CreateBucket),
            ("PUT", "/b/", Operation::CreateBucket),
            ("HEAD", "/b", Operation::HeadBucket),
            ("DELETE", "/b", Operation::DeleteBucket),
            ("GET", "/b?location", Operation::GetBucketLocation),
            ("GET", "/b?versioning", Operation::GetBucketVersioning),
            ("PUT", "/b?versioning", Operation::PutBucketVersioning),
            ("GET", "/b?lifecycle", Operation::Other),
            (
                "GET",
                "/b?uploads&prefix=x",
                Operation::ListMultipartUploads,
            ),
            ("GET", "/b?versions", Operation::ListObjectVersions),
            ("GET", "/b/?list-type=2&prefix=x", Operation::ListObjectsV2),
            ("GET", "/b?prefix=x", Operation::ListObjects),
            ("POST", "/b/?delete=", Operation::DeleteObjects),
            ("GET", "/b/k?attributes", Operation::GetObjectAttributes),
            ("GET", "/b/k?tagging", Operation::GetObjectTagging),
            ("GET", "/b/k?uploadId=u", Operation::ListParts),
            ("GET", "/b/k?x-id=GetObject", Operation::GetObject),
            ("HEAD", "/b/k", Operation::HeadObject),
            ("PUT", "/b/k?partNumber=1&uploadId=u", Operation::UploadPart),
            ("PUT", "/b/k?tagging", Operation::PutObjectTagging),
            ("PUT", "/b/k?x-id=PutObject", Operation::PutObject),
            ("PUT", "/b/k?acl", Operation::Other),
            ("POST", "/b/k?uploads", Operation::CreateMultipartUpload),
            (
                "POST",
                "/b/k?uploadId=u",
                Operation::CompleteMultipartUpload,
            ),
            ("POST", "/b/k?restore", Operation::RestoreObject),
            ("DELETE", "/b/k?uploadId=u", Operation::AbortMultipartUpload),
            ("DELETE", "/b/k?tagging", Operation::DeleteObjectTagging),
            ("DELETE", "/b/k", Operation::DeleteObject),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(operation(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_copy_source_makes_a_put_a_copy() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-copy-source", "b/other".parse().unwrap());
        let of = |uri: &str| Target::of(&Method::PUT, &uri.parse().unwrap(), &headers).operation;
        assert_eq!(of("/b/k"), Operation::CopyObject);
        assert_eq!(
            of("/b/k?partNumber=1&uploadId=u"),
            Operation::UploadPartCopy
        );
    }

    #[test]
    fn keys_are_decoded_and_keep_their_slashes() {
        let target = Target::of(
            &Method::GET,
            &"/b//a%20b/%2B+%25".parse().unwrap(),
            &HeaderMap::new(),
        );
        assert_eq!(
            (target.bucket.as_deref(), target.key.as_deref()),
            (Some("b"), Some("/a b/++%"))
        );
    }
}
