//! Listings.

use super::Site;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, EncodingType, ObjectStorageClass, OptionalObjectAttributes, RestoreRequest,
    StorageClass,
};

async fn fill(site: &Site) {
    for key in ["a", "b/1", "b/2", "b/c/1", "d/1", "e"] {
        site.put(key, b"x").await;
    }
}

fn keys(page: &ListObjectsV2Output) -> Vec<&str> {
    page.contents()
        .iter()
        .filter_map(|object| object.key())
        .collect()
}

fn prefixes(page: &ListObjectsV2Output) -> Vec<&str> {
    page.common_prefixes()
        .iter()
        .filter_map(|common| common.prefix())
        .collect()
}

/// All names of a listing in pages of `max_keys`, in the order in which they arrive.
async fn pages(site: &Site, prefix: &str, delimiter: Option<&str>, max_keys: i32) -> Vec<String> {
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let list = site
            .client
            .list_objects_v2()
            .bucket(&site.bucket)
            .prefix(prefix)
            .max_keys(max_keys);
        let list = list
            .set_delimiter(delimiter.map(str::to_owned))
            .set_continuation_token(token);
        let page = list.send().await.unwrap();
        assert_eq!(
            page.key_count(),
            i32::try_from(keys(&page).len() + prefixes(&page).len()).ok()
        );
        assert!(page.key_count().unwrap() <= max_keys);
        let mut both: Vec<String> = keys(&page)
            .into_iter()
            .chain(prefixes(&page))
            .map(str::to_owned)
            .collect();
        both.sort();
        names.extend(both);
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            return names;
        }
    }
}

pub(super) async fn pages_add_up(site: Site) {
    fill(&site).await;
    for max_keys in [1, 2, 3, 6, 1_000] {
        let all = pages(&site, "", None, max_keys).await;
        assert_eq!(all, ["a", "b/1", "b/2", "b/c/1", "d/1", "e"], "{max_keys}");
        assert_eq!(
            pages(&site, "b/", None, max_keys).await,
            ["b/1", "b/2", "b/c/1"],
            "{max_keys}"
        );
    }
    assert!(pages(&site, "none", None, 10).await.is_empty());
}

pub(super) async fn delimiters_roll_up(site: Site) {
    fill(&site).await;
    let list = |prefix: &str| {
        site.client
            .list_objects_v2()
            .bucket(&site.bucket)
            .prefix(prefix)
            .delimiter("/")
    };
    let top = list("").send().await.unwrap();
    assert_eq!(
        (keys(&top), prefixes(&top)),
        (vec!["a", "e"], vec!["b/", "d/"])
    );
    let within = list("b/").send().await.unwrap();
    assert_eq!(
        (keys(&within), prefixes(&within)),
        (vec!["b/1", "b/2"], vec!["b/c/"])
    );
    let part = list("b").send().await.unwrap();
    assert_eq!((keys(&part), prefixes(&part)), (vec![], vec!["b/"]));
}

pub(super) async fn pages_with_delimiters_add_up(site: Site) {
    fill(&site).await;
    for max_keys in [1, 2, 3, 4] {
        assert_eq!(
            pages(&site, "", Some("/"), max_keys).await,
            ["a", "b/", "d/", "e"],
            "{max_keys}"
        );
    }
}

pub(super) async fn start_after_skips(site: Site) {
    fill(&site).await;
    for (start, expected) in [
        ("b/1", vec!["b/2", "b/c/1", "d/1", "e"]),
        ("b/11", vec!["b/2", "b/c/1", "d/1", "e"]),
        ("e", vec![]),
    ] {
        let page = site
            .client
            .list_objects_v2()
            .bucket(&site.bucket)
            .start_after(start)
            .send()
            .await
            .unwrap();
        assert_eq!(keys(&page), expected, "{start}");
    }
}

pub(super) async fn a_start_within_a_common_prefix_is_past_it(site: Site) {
    fill(&site).await;
    let list = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .delimiter("/")
        .start_after("b/1");
    let page = list.send().await.unwrap();
    assert_eq!(prefixes(&page), ["d/"]);
}

pub(super) async fn no_keys_asked_for(site: Site) {
    fill(&site).await;
    let page = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .max_keys(0)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (page.key_count(), page.is_truncated()),
        (Some(0), Some(false))
    );
}

pub(super) async fn the_first_version_of_the_operation_goes_on_from_a_marker(site: Site) {
    fill(&site).await;
    let list = || site.client.list_objects().bucket(&site.bucket).max_keys(2);
    let first = list().send().await.unwrap();
    assert_eq!(first.is_truncated(), Some(true));
    let last = first.contents().last().unwrap().key().unwrap();
    assert_eq!(last, "b/1");
    let second = list().marker(last).send().await.unwrap();
    assert_eq!(second.contents()[0].key(), Some("b/2"));
    let rolled = list().delimiter("/").send().await.unwrap();
    let marker = rolled.next_marker().unwrap();
    let rest = list().delimiter("/").marker(marker).send().await.unwrap();
    assert_eq!(rest.common_prefixes()[0].prefix(), Some("d/"));
    assert_eq!(rest.contents()[0].key(), Some("e"));
}

pub(super) async fn names_are_encoded_on_request(site: Site) {
    site.put("odd dir/+ü&<%41", b"x").await;
    let list = || {
        site.client
            .list_objects_v2()
            .bucket(&site.bucket)
            .encoding_type(EncodingType::Url)
    };
    let page = list().prefix("odd dir/").send().await.unwrap();
    assert_eq!(page.prefix(), Some("odd+dir/"));
    assert_eq!(keys(&page), ["odd+dir/%2B%C3%BC%26%3C%2541"]);
    assert_eq!(
        prefixes(&list().delimiter("/").send().await.unwrap()),
        ["odd+dir/"]
    );
}

pub(super) async fn entries_say_what_is_there(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .body(b"content".to_vec().into());
    let put = put
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap();
    let page = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    let entry = &page.contents()[0];
    assert_eq!(entry.e_tag(), put.e_tag());
    assert_eq!(entry.size(), Some(7));
    assert_eq!(
        entry.storage_class().map(ObjectStorageClass::as_str),
        Some("STANDARD")
    );
    assert_eq!(entry.checksum_algorithm(), [ChecksumAlgorithm::Sha256]);
}

pub(super) async fn every_object_has_one_version(site: Site) {
    fill(&site).await;
    site.put("a", b"again").await;
    let versions = site
        .client
        .list_object_versions()
        .bucket(&site.bucket)
        .prefix("a")
        .send()
        .await
        .unwrap();
    let [version] = versions.versions() else {
        panic!("{versions:?}")
    };
    assert_eq!(
        (version.key(), version.version_id(), version.is_latest()),
        (Some("a"), Some("null"), Some(true))
    );
}

pub(super) async fn restorations_are_listed_when_asked_for(site: Site) {
    for (key, class) in [
        ("cold", StorageClass::DeepArchive),
        ("warm", StorageClass::Glacier),
    ] {
        let put = site.client.put_object().bucket(&site.bucket).key(key);
        put.storage_class(class).send().await.unwrap();
    }
    let asked = RestoreRequest::builder().days(2).build();
    let restore = site.client.restore_object().bucket(&site.bucket);
    let restore = restore.key("warm").restore_request(asked);
    restore.send().await.unwrap();
    let list = || site.client.list_objects_v2().bucket(&site.bucket);
    let plain = list().send().await.unwrap();
    assert!(
        plain
            .contents()
            .iter()
            .all(|o| o.restore_status().is_none())
    );
    let asked = list().optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
    let listed = asked.send().await.unwrap();
    let [cold, warm] = listed.contents() else {
        panic!("{listed:?}");
    };
    assert!(cold.restore_status().is_none());
    assert_eq!(cold.storage_class(), Some(&ObjectStorageClass::DeepArchive));
    let warm = warm.restore_status().unwrap();
    assert_eq!(warm.is_restore_in_progress(), Some(false));
    assert!(warm.restore_expiry_date().is_some());
}
