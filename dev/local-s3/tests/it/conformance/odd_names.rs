//! Keys as people have them: S3 keeps any UTF-8 of up to 1,024 bytes as it is.

use super::Site;

const ODD: &[&str] = &[
    " leading and trailing ",
    "%41 is no A",
    "&<>\"'",
    "+plus+",
    "//two//slashes",
    "/leading",
    "C:\\windows\\path",
    "a/../b",
    "a/./b",
    "`tick$dollar#hash?question;semi,comma=equals@at!bang*star(paren)[bracket]{brace}|pipe^caret~",
    "new\u{301}composed",
    "trailing/",
    "ünïcödé/日本語/😀",
];

pub(super) async fn odd_names_are_kept_as_they_are(site: Site) {
    for key in ODD {
        site.put(key, key.as_bytes()).await;
    }
    for key in ODD {
        assert_eq!(site.content(key).await.unwrap(), key.as_bytes(), "{key}");
        let head = site
            .client
            .head_object()
            .bucket(&site.bucket)
            .key(*key)
            .send()
            .await;
        assert!(head.is_ok(), "{key}");
    }
    let listed = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    let keys: Vec<&str> = listed
        .contents()
        .iter()
        .filter_map(|object| object.key())
        .collect();
    let mut expected = ODD.to_vec();
    expected.sort_unstable();
    assert_eq!(keys, expected);
}

pub(super) async fn a_key_may_be_the_prefix_of_another(site: Site) {
    for key in ["a", "a/", "a/b", "a/b/c"] {
        site.put(key, key.as_bytes()).await;
    }
    for key in ["a", "a/", "a/b", "a/b/c"] {
        assert_eq!(site.content(key).await.unwrap(), key.as_bytes());
    }
    site.client
        .delete_object()
        .bucket(&site.bucket)
        .key("a/b")
        .send()
        .await
        .unwrap();
    assert!(site.content("a/b/c").await.is_some());
}

pub(super) async fn keys_are_sorted_by_their_bytes(site: Site) {
    // In UTF-16, and to people, these have another order.
    for key in ["B", "a", "Z", "\u{FFFD}", "\u{1F600}", "a.b", "a/b", "a0"] {
        site.put(key, b"x").await;
    }
    let listed = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    let keys: Vec<&str> = listed
        .contents()
        .iter()
        .filter_map(|object| object.key())
        .collect();
    assert_eq!(
        keys,
        ["B", "Z", "a", "a.b", "a/b", "a0", "\u{FFFD}", "\u{1F600}"]
    );
}

/// As clients have to do it for `x-amz-copy-source`.
fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

pub(super) async fn odd_names_can_be_copied_and_deleted(site: Site) {
    for key in ODD {
        site.put(key, key.as_bytes()).await;
        let source = format!("{}/{}", site.bucket, percent_encoded(key));
        let copy = site
            .client
            .copy_object()
            .bucket(&site.bucket)
            .key("copy")
            .copy_source(source);
        assert!(copy.send().await.is_ok(), "{key}");
        assert_eq!(site.content("copy").await.unwrap(), key.as_bytes(), "{key}");
        site.client
            .delete_object()
            .bucket(&site.bucket)
            .key(*key)
            .send()
            .await
            .unwrap();
        assert_eq!(site.content(key).await, None, "{key}");
    }
}
