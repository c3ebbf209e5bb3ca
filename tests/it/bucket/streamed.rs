//! A bucket backed up where no store can copy it: into a directory.

use local_s3::{HookAction, Operation};
use serde_json::json;

use super::{Documents, count};
use crate::support::noise;

fn into_directory() -> Documents {
    let world = Documents::new();
    std::fs::create_dir(world.path("store")).unwrap();
    world.configure(&format!(
        "backup:\n  store: {}\n  sources: [{{name: documents, bucket: {{name: documents}}}}]\n",
        world.path("store").display()
    ));
    world
}

#[test]
fn objects_are_read_and_hashed_with_what_else_they_have() {
    let world = into_directory();
    world.put_odd_keys();
    world.put_with_all("odd.jpg", "contents");
    world.put("large.pdf", noise(9, (20 << 20) + 3));
    world.put("empty.pdf", "");
    let requests = world.requests_of(|| {
        let output = world.back_up();
        assert_eq!(output.event("snapshot_committed")["complete"], true);
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
    let entries = world.entries();
    assert_eq!(entries.len(), world.contents().len());
    for (key, contents) in world.contents() {
        let cat = world.command(["cat", "latest", &key]).output().unwrap();
        assert_eq!(cat.status.code(), Some(0), "{key}");
        assert!(cat.stdout == contents, "{key}");
        use sha2::{Digest as _, Sha256};
        assert_eq!(
            entries[&key]["sha256"],
            hex::encode(Sha256::digest(&contents))
        );
    }
    let headers = &entries["odd.jpg"]["object"]["headers"];
    assert_eq!(headers["content_type"], "image/x-odd");
    assert_eq!(headers["content_disposition"], "attachment; filename=\"x\"");
    assert_eq!(
        headers["metadata"],
        json!({"owner": "somebody", "empty": ""})
    );
    assert_eq!(headers["tags"], json!({"team": "web", "purpose": "a test"}));
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");

    // And nothing of it again.
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(requests.len(), 1, "{requests:#?}");
}

#[test]
fn no_object_is_put_together_from_two_versions() {
    let world = into_directory();
    world.put("a.pdf", noise(1, 20 << 20));
    let replace = world.replacer();
    let ranges = std::sync::atomic::AtomicUsize::new(0);
    world.server.on_request(move |request| {
        if request.operation == Operation::GetObject
            && ranges.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1
        {
            replace("a.pdf", &"x".repeat(20 << 20));
        }
        HookAction::Proceed
    });
    let output = world.back_up();
    world.server.clear_hook();
    assert_eq!(output.event("snapshot_committed")["complete"], true);
    let cat = world.command(["cat", "latest", "a.pdf"]).output().unwrap();
    assert!(cat.stdout == world.contents()["a.pdf"]);
    assert_eq!(world.contents()["a.pdf"][0], b'x');
}
