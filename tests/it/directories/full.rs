//! A disk that becomes full, at any moment.

use rustix::io::Errno;

use super::{assert_nothing_unfinished, assert_restored, store, world};
use crate::support::calls::{Answer, watched};
use crate::support::long;
use crate::support::tree::{self, settle};

/// What a full disk refuses.
const GROWING: [libc::c_long; 5] = [
    libc::SYS_openat,
    libc::SYS_mkdirat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_pwrite64,
];

#[test]
fn a_disk_that_is_full_from_some_call_on_loses_nothing_and_is_named() {
    let world = world();
    for path in ["a", "b", "sub/c"] {
        world.write(path, path);
    }
    settle();
    world.back_up();
    let mut trees = vec![tree::read(&world.data())];
    let stride = if long() { 1 } else { 11 };
    let mut from = 0;
    loop {
        let text = format!("changed {from}");
        world.write("a", &text);
        world.write(&format!("sub/{from}"), &text);
        settle();
        let (mut seen, mut refused) = (0, 0);
        let output = watched(&mut world.command(["run"]), |call| {
            if !GROWING.contains(&call.number) {
                return Answer::Proceed;
            }
            seen += 1;
            match seen > from {
                true => {
                    refused += 1;
                    Answer::Refuse(Errno::NOSPC)
                }
                false => Answer::Proceed,
            }
        });
        let snapshots = world.snapshots();
        if refused == 0 {
            assert_eq!(output.code, 0, "{output:?}");
            break;
        }
        if snapshots.len() > trees.len() {
            // It was committed before the disk was full.
            trees.push(tree::read(&world.data()));
        } else {
            assert_eq!(output.code, 1, "full from call {from}: {output:?}");
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains("there is no room left"), "{from}: {said}");
        }
        assert_restored(&world, &trees);
        let unlock = world.offsite(["unlock", "--force"]);
        assert_eq!(unlock.code, 0, "full from call {from}: {unlock:?}");
        from += stride;
    }
    assert!(from > 30, "{from} calls were tried");
    assert_nothing_unfinished(&world);
    let left = world.offsite(["verify", "--read"]);
    assert_eq!(left.code, 0, "{left:?}");
    assert!(store(&world).exists());
}
