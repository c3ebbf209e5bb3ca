//! Versions of objects, and delete markers.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, Tag, Tagging, VersioningConfiguration,
};

impl Site {
    async fn set_versioning(&self, status: BucketVersioningStatus) {
        let configuration = VersioningConfiguration::builder().status(status).build();
        let put = self.client.put_bucket_versioning().bucket(&self.bucket);
        let put = put.versioning_configuration(configuration);
        put.send().await.unwrap();
    }

    async fn enable(&self) {
        self.set_versioning(BucketVersioningStatus::Enabled).await;
    }

    /// Puts an object and returns the id of its version.
    async fn put_version(&self, key: &str, bytes: &[u8]) -> Option<String> {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        let put = put.body(bytes.to_vec().into()).send().await;
        put.unwrap().version_id
    }

    async fn version(&self, key: &str, id: &str) -> Result<Vec<u8>, String> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        match get.version_id(id).send().await {
            Ok(got) => {
                assert_eq!(got.version_id(), Some(id));
                Ok(got.body.collect().await.unwrap().to_vec())
            }
            refused => Err(refusal(refused)),
        }
    }

    async fn delete(&self, key: &str, id: Option<&str>) -> (Option<bool>, Option<String>) {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key);
        let deleted = delete.set_version_id(id.map(str::to_owned)).send().await;
        let deleted = deleted.unwrap();
        (deleted.delete_marker, deleted.version_id)
    }

    async fn versions(&self) -> ListObjectVersionsOutput {
        let list = self.client.list_object_versions().bucket(&self.bucket);
        list.send().await.unwrap()
    }
}

/// Keys and ids of what is no delete marker.
fn listed(page: &ListObjectVersionsOutput) -> Vec<(String, String, bool)> {
    let versions = page.versions().iter().map(|version| {
        let (key, id) = (version.key().unwrap(), version.version_id().unwrap());
        (
            key.to_owned(),
            id.to_owned(),
            version.is_latest() == Some(true),
        )
    });
    versions.collect()
}

pub(super) async fn versioning_is_told(site: Site) {
    let told = || async {
        let get = site.client.get_bucket_versioning().bucket(&site.bucket);
        get.send().await.unwrap().status
    };
    site.enable().await;
    assert_eq!(told().await, Some(BucketVersioningStatus::Enabled));
    site.set_versioning(BucketVersioningStatus::Suspended).await;
    assert_eq!(told().await, Some(BucketVersioningStatus::Suspended));
}

pub(super) async fn every_write_is_a_version(site: Site) {
    site.put("k", b"before").await;
    site.enable().await;
    let one = site.put_version("k", b"one").await.unwrap();
    let two = site.put_version("k", b"two").await.unwrap();
    assert_ne!(one, two);
    assert_eq!(site.content("k").await.unwrap(), b"two");
    assert_eq!(site.version("k", &one).await.unwrap(), b"one");
    assert_eq!(site.version("k", "null").await.unwrap(), b"before");
    let head = site.client.head_object().bucket(&site.bucket).key("k");
    let head = head.send().await.unwrap();
    assert_eq!(head.version_id(), Some(two.as_str()));
    let k = || "k".to_owned();
    let expected = [
        (k(), two, true),
        (k(), one, false),
        (k(), "null".to_owned(), false),
    ];
    assert_eq!(listed(&site.versions().await), expected);
}

pub(super) async fn a_deletion_is_a_marker_that_can_be_deleted(site: Site) {
    site.enable().await;
    let one = site.put_version("k", b"one").await.unwrap();
    let (is_marker, marker) = site.delete("k", None).await;
    let marker = marker.unwrap();
    assert_eq!(is_marker, Some(true));
    assert_eq!(site.content("k").await, None);
    assert_eq!(site.version("k", &one).await.unwrap(), b"one");
    let refused = site.version("k", &marker).await;
    assert_eq!(refused.unwrap_err(), "405 MethodNotAllowed");
    let page = site.versions().await;
    let [listed] = page.delete_markers() else {
        panic!("{page:?}");
    };
    assert_eq!(listed.version_id(), Some(marker.as_str()));
    assert_eq!(listed.is_latest(), Some(true));
    let names = site.client.list_objects_v2().bucket(&site.bucket);
    assert_eq!(names.send().await.unwrap().key_count(), Some(0));

    let deleted = site.delete("k", Some(&marker)).await;
    assert_eq!(deleted, (Some(true), Some(marker)));
    assert_eq!(site.content("k").await.unwrap(), b"one");
}

pub(super) async fn a_deleted_version_is_gone_and_the_one_before_is_current(site: Site) {
    site.enable().await;
    let one = site.put_version("k", b"one").await.unwrap();
    let two = site.put_version("k", b"two").await.unwrap();
    site.delete("k", Some(&two)).await;
    assert_eq!(site.content("k").await.unwrap(), b"one");
    let refused = site.version("k", &two).await.unwrap_err();
    assert_eq!(refused, "404 NoSuchVersion");
    let delete = site.client.delete_objects().bucket(&site.bucket);
    let object = ObjectIdentifier::builder().key("k").version_id(&one);
    let objects = Delete::builder().objects(object.build().unwrap());
    let deleted = delete.delete(objects.build().unwrap()).send().await;
    let deleted = deleted.unwrap();
    assert_eq!(deleted.deleted()[0].version_id(), Some(one.as_str()));
    assert!(site.versions().await.versions().is_empty());
}

pub(super) async fn with_versioning_suspended_one_version_is_overwritten(site: Site) {
    site.enable().await;
    let one = site.put_version("k", b"one").await.unwrap();
    site.set_versioning(BucketVersioningStatus::Suspended).await;
    for content in [b"two", b"three".as_slice()] {
        site.put("k", content).await;
    }
    assert_eq!(site.version("k", "null").await.unwrap(), b"three");
    let ids = |page: ListObjectVersionsOutput| -> Vec<String> {
        listed(&page).into_iter().map(|(_, id, _)| id).collect()
    };
    assert_eq!(ids(site.versions().await), ["null", one.as_str()]);
    let (is_marker, marker) = site.delete("k", None).await;
    assert_eq!((is_marker, marker.as_deref()), (Some(true), Some("null")));
    assert_eq!(ids(site.versions().await), [one]);
}

/// What was there before versions were kept has the name `null`, and gives way to what is put once they are not any more.
pub(super) async fn an_older_version_without_a_name_is_overwritten(site: Site) {
    site.put("k", b"one").await;
    site.enable().await;
    let two = site.put_version("k", b"two").await.unwrap();
    assert_eq!(site.version("k", "null").await.unwrap(), b"one");
    site.set_versioning(BucketVersioningStatus::Suspended).await;
    site.put("k", b"three").await;
    assert_eq!(site.version("k", "null").await.unwrap(), b"three");
    let versions = listed(&site.versions().await).into_iter();
    let ids: Vec<_> = versions.map(|(_, id, _)| id).collect();
    assert_eq!(ids, ["null", two.as_str()]);
}

pub(super) async fn a_named_version_is_copied(site: Site) {
    site.enable().await;
    let one = site.put_version("k", b"one").await.unwrap();
    let two = site.put_version("k", b"two").await.unwrap();
    let copy = |key: &str, source: String| {
        let copy = site.client.copy_object().bucket(&site.bucket).key(key);
        copy.copy_source(source).send()
    };
    let named = format!("{}/k?versionId={one}", site.bucket);
    let copied = copy("copy", named.clone()).await.unwrap();
    assert_eq!(copied.copy_source_version_id(), Some(one.as_str()));
    let written = copied.version_id().unwrap();
    assert_eq!(site.version("copy", written).await.unwrap(), b"one");
    let copied = copy("copy", format!("{}/k", site.bucket)).await.unwrap();
    assert_eq!(copied.copy_source_version_id(), Some(two.as_str()));
    // An older version becomes the current one again.
    copy("k", named).await.unwrap();
    assert_eq!(site.content("k").await.unwrap(), b"one");
    assert_eq!(site.version("k", &two).await.unwrap(), b"two");
}

pub(super) async fn a_marker_is_no_source_of_a_copy(site: Site) {
    site.enable().await;
    site.put("k", b"one").await;
    let (_, marker) = site.delete("k", None).await;
    let copy = |source: String| {
        let copy = site.client.copy_object().bucket(&site.bucket).key("copy");
        copy.copy_source(source).send()
    };
    let refused = copy(format!("{}/k", site.bucket)).await;
    assert_eq!(refusal(refused), "404 NoSuchKey");
    let marker = format!("{}/k?versionId={}", site.bucket, marker.unwrap());
    assert_eq!(refusal(copy(marker).await), "400 InvalidRequest");
}

pub(super) async fn tags_belong_to_a_version(site: Site) {
    site.enable().await;
    let one = site.put_version("k", b"one").await.unwrap();
    site.put("k", b"two").await;
    let tag = Tag::builder().key("team").value("red").build().unwrap();
    let tags = Tagging::builder().tag_set(tag).build().unwrap();
    let put = site.client.put_object_tagging().bucket(&site.bucket);
    let put = put.key("k").version_id(&one).tagging(tags);
    assert_eq!(put.send().await.unwrap().version_id(), Some(one.as_str()));
    for (id, count) in [(Some(one), 1), (None, 0)] {
        let get = site.client.get_object_tagging().bucket(&site.bucket);
        let tags = get.key("k").set_version_id(id).send().await.unwrap();
        assert_eq!(tags.tag_set().len(), count);
    }
}

pub(super) async fn over_a_marker_an_object_is_created(site: Site) {
    site.enable().await;
    site.put("k", b"one").await;
    site.delete("k", None).await;
    let put = site.client.put_object().bucket(&site.bucket).key("k");
    put.if_none_match("*").send().await.unwrap();
    let again = site.client.put_object().bucket(&site.bucket).key("k");
    let again = again.if_none_match("*").send().await;
    assert_eq!(refusal(again), "412 PreconditionFailed");
}

pub(super) async fn pages_of_versions_add_up(site: Site) {
    site.enable().await;
    for key in ["a", "a", "b/1", "b/2", "c", "c", "c"] {
        site.put(key, b"x").await;
    }
    let whole = listed(&site.versions().await);
    for max_keys in 1..5 {
        let mut pages = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let list = site.client.list_object_versions().bucket(&site.bucket);
            let list = list.set_key_marker(key).set_version_id_marker(id);
            let page = list.max_keys(max_keys).send().await.unwrap();
            pages.extend(listed(&page));
            assert!(pages.len() <= whole.len(), "{max_keys}: {pages:?}");
            if page.is_truncated() != Some(true) {
                break;
            }
            (key, id) = (page.next_key_marker, page.next_version_id_marker);
        }
        assert_eq!(pages, whole, "{max_keys}");
    }
    let list = site.client.list_object_versions().bucket(&site.bucket);
    let rolled = list.delimiter("/").send().await.unwrap();
    assert_eq!(rolled.common_prefixes()[0].prefix(), Some("b/"));
    assert_eq!(rolled.versions().len(), 5);
}
