//! How much memory a pass and a restore take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use local_s3::HookAction;

use crate::bucket::recorded;
use crate::support::{SOURCE, World, finish, high_water_mib, long, noise};

/// Some 260 MiB in files of 32 KiB to 20 MiB, hardly two of them of the same length.
fn fill(world: &World) {
    let noise = noise(1, 20 << 20);
    for number in 0..60 {
        let length = (32 << 10) << (number % 10);
        let length = (length + length / 64 * (number * 37 % 64)).min(noise.len());
        let file = format!("{}/{number}", number % 7);
        world.write(&file, &noise[noise.len() - length..]);
    }
}

/// The most memory that was resident when the program sent a request, in MiB.
fn peak(world: &World, args: &[&str]) -> u64 {
    let peak = Arc::new(AtomicU64::new(0));
    let process = Arc::new(OnceLock::<u32>::new());
    let (most, id) = (Arc::clone(&peak), Arc::clone(&process));
    world.server.on_request(move |_| {
        if let Some(id) = id.get() {
            most.fetch_max(high_water_mib(*id), Ordering::Relaxed);
        }
        HookAction::Proceed
    });
    let child = world.spawn(args);
    process.set(child.id()).unwrap();
    let output = finish(child.wait_with_output().unwrap());
    world.server.clear_hook();
    assert_eq!(output.code, 0, "{output:?}");
    peak.load(Ordering::Relaxed)
}

/// What there may be besides the limit: 64 MiB, and more code than in a release build.
const BESIDES_MIB: u64 = 64 + 16;

#[test]
fn files_of_many_sizes_take_no_more_than_the_limit_and_64_mib() {
    for run in [&["run"] as &[_], &["run", "--archive"]] {
        let mut world = World::new();
        world.set("LIMITS__MEMORY", "16MiB");
        world.set("DEFAULTS__ARCHIVE__COMPRESSION", "zstd");
        fill(&world);
        let target = world.path("restored");
        let to = target.to_str().unwrap();
        let restore = ["restore", "--source", SOURCE, "--to", to];
        for args in [run, &restore] {
            let peak = peak(&world, args);
            assert!(peak > 0 && peak < 16 + BESIDES_MIB, "{args:?}: {peak} MiB");
        }
    }
}

/// A whole segment and all ranges at once are what it takes; more objects take no more.
#[test]
fn an_unchanged_bucket_takes_the_same_memory_however_large_it_is() {
    if !long() {
        return;
    }
    let mut of_the_smallest = [None; 2];
    for count in [300_000, 1_000_000, 10_000_000] {
        let world = recorded(count);
        for (args, first) in [["plan"], ["run"]].iter().zip(&mut of_the_smallest) {
            let begun = Instant::now();
            let peak = peak(&world, args);
            eprintln!("{args:?} of {count}: {peak} MiB, {:?}", begun.elapsed());
            let first = *first.get_or_insert(peak);
            assert!(
                peak > 0 && peak < first + 16,
                "{args:?} of {count}: {peak} MiB, {first} before"
            );
        }
    }
}
