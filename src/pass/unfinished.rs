//! What passes that were killed have left in the store: segments and checkpoints that no commit record
//! names, and uploads that were never completed.

use sha2::{Digest, Sha256};

use super::context::SourceContext;
use super::job::Method;
use crate::format::keys::{self, SegmentKey, SegmentNumber, SourceName};
use crate::format::objects::{RECORD_BYTES, SharedObject};
use crate::format::pass_id::PassId;
use crate::store::{Listing, OpenUpload, Store, StoreResult, all_keys};

/// Killed passes that are looked at, the latest ones. Each takes a segment's memory, and what older
/// ones captured is seldom missing from these.
const MOST_PASSES: usize = 4;

/// Keys of the segments to read for one killed pass, in order of their entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// The pass.
    pub(crate) pass: PassId,
    /// Keys.
    pub(crate) keys: Vec<String>,
    /// Shared objects that it, and if it is the latest, any pass before it has completed: a pass that
    /// goes on from another one records what that one has archived.
    pub(crate) objects: Vec<SharedObject>,
}

/// Finds what passes after `committed`, and other than `own`, have left, the latest first.
///
/// # Errors
/// The listing fails.
pub(crate) async fn find(
    store: &dyn Store,
    source: &SourceName,
    committed: Option<PassId>,
    own: PassId,
) -> StoreResult<Vec<Unfinished>> {
    let prefix = keys::segments(source);
    // `~` sorts after whatever follows a pass id in a key.
    let start_after = committed.map(|pass| format!("{prefix}{pass}~"));
    let listing = Listing {
        prefix: &prefix,
        start_after: start_after.as_deref(),
        ..Listing::default()
    };
    let listed = all_keys(store, listing).await?;
    let records: Vec<_> = listed
        .objects
        .iter()
        .filter(|key| keys::is_object_record(key))
        .cloned()
        .collect();
    let mut passes = arrange(source, own, listed.objects);
    if let Some(latest) = passes.first_mut() {
        for key in &records {
            // A record that cannot be read is one object that is not trusted.
            if let Ok(object) = store.get(key, RECORD_BYTES).await
                && keys::digest(key) == Some(&hex::encode(Sha256::digest(&object.bytes)))
            {
                let record = serde_json::from_slice::<SharedObject>(&object.bytes);
                latest.objects.extend(record);
            }
        }
    }
    Ok(passes)
}

/// Gives up uploads in parts that killed passes have left open, so that nobody pays for them. What
/// cannot be given up is left to a later pass or the bucket's lifecycle rule.
///
/// # Errors
/// They cannot be listed, and are left to that rule, too.
pub(crate) async fn abort_uploads(context: &SourceContext) -> StoreResult<()> {
    let source = &context.job;
    let store = &*context.store;
    let files = keys::all_contents(&source.name, context.source.order());
    for OpenUpload { upload, .. } in store.open_uploads(&files).await? {
        // This pass may have been stopped for long, and a later one may be at work.
        if keys::pass_of_contents(&source.name, &upload.key).is_some_and(|p| p < context.pass) {
            let _ = store.abort_upload(&upload).await;
        }
    }
    if let Method::Archive(archive) = &source.method {
        let folder = archive.template.folder(&source.name);
        for OpenUpload { upload, begun_at } in store.open_uploads(&folder).await? {
            let is_earlier = begun_at.is_some_and(|begun_at| begun_at < context.started_at);
            if is_earlier && archive.template.matches(&source.name, &upload.key) {
                let _ = store.abort_upload(&upload).await;
            }
        }
    }
    Ok(())
}

/// Sorts listed keys by pass and leaves out checkpoints whose segment was finished.
fn arrange(source: &SourceName, own: PassId, listed: Vec<String>) -> Vec<Unfinished> {
    let mut passes: Vec<Unfinished> = Vec::new();
    // Keys come in order of pass, then segment, and a segment's checkpoints before itself.
    let mut checkpoints: Vec<(SegmentNumber, String)> = Vec::new();
    for key in listed {
        let Some(parsed) = SegmentKey::parse(source, &key) else {
            continue;
        };
        if parsed.pass == own {
            continue;
        }
        let known = passes.last().map(|unfinished| unfinished.pass);
        if known != Some(parsed.pass) {
            settle(&mut passes, &mut checkpoints);
            passes.push(Unfinished {
                pass: parsed.pass,
                keys: Vec::new(),
                objects: Vec::new(),
            });
        }
        match parsed.checkpoint {
            Some(_) => {
                if checkpoints.last().is_some_and(|(at, _)| *at != parsed.at) {
                    settle(&mut passes, &mut checkpoints);
                }
                checkpoints.push((parsed.at, key));
            }
            None => {
                checkpoints.retain(|(at, _)| *at != parsed.at);
                settle(&mut passes, &mut checkpoints);
                if let Some(last) = passes.last_mut() {
                    last.keys.push(key);
                }
            }
        }
    }
    settle(&mut passes, &mut checkpoints);
    passes.reverse();
    passes.truncate(MOST_PASSES);
    passes
}

fn settle(passes: &mut [Unfinished], checkpoints: &mut Vec<(SegmentNumber, String)>) {
    if let Some(last) = passes.last_mut() {
        last.keys.extend(checkpoints.drain(..).map(|(_, key)| key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_segment_replaces_its_checkpoints() {
        let source = SourceName::parse("data").unwrap();
        let pass = |n: u8| format!("20251227T02000{n}Z-0000");
        let digest = "00".repeat(32);
        let key = |n: u8, file: &str| {
            format!("manifests/data/{}/000-{file}.{digest}.ndjson.zst", pass(n))
        };
        let listed = vec![
            key(1, "00000-0000"),
            key(1, "00000-0001"),
            key(1, "00000"),
            key(1, "00001-0000"),
            key(1, "00001-0001"),
            key(2, "00000-0000"),
            key(2, "00001-0000"),
            key(2, "00001"),
            key(3, "00000"),
            "manifests/data/other".to_owned(),
            format!("manifests/data/{}/000-00001.ndjson.zst", pass(3)),
        ];
        let arranged = arrange(&source, pass(3).parse().unwrap(), listed);
        let expected = [
            (2, vec![key(2, "00000-0000"), key(2, "00001")]),
            (
                1,
                vec![key(1, "00000"), key(1, "00001-0000"), key(1, "00001-0001")],
            ),
        ];
        let expected = expected.map(|(n, keys)| Unfinished {
            pass: pass(n).parse().unwrap(),
            keys,
            objects: Vec::new(),
        });
        assert_eq!(arranged, expected);
    }
}
