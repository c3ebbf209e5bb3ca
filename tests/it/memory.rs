//! How much memory a pass and a restore take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use local_s3::HookAction;

use crate::support::{SOURCE, World, finish, noise};

/// Files of each length there is between 32 KiB and 20 MiB.
fn fill(world: &World) -> u64 {
    let noise = noise(1, 20 << 20);
    let mut total = 0;
    for number in 0..60 {
        let length = (32 << 10) << (number % 10);
        let length = (length + length / 64 * (number * 37 % 64)).min(noise.len());
        let file = format!("{}/{number}", number % 7);
        world.write(&file, &noise[noise.len() - length..]);
        total += length as u64;
    }
    total
}

/// The most memory that was resident when the program sent a request, in MiB.
fn peak(world: &World, args: &[&str]) -> u64 {
    let peak = Arc::new(AtomicU64::new(0));
    let process = Arc::new(OnceLock::<u32>::new());
    let (most, id) = (Arc::clone(&peak), Arc::clone(&process));
    world.server.on_request(move |_| {
        if let Some(id) = id.get() {
            most.fetch_max(high_water(*id), Ordering::Relaxed);
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

fn high_water(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.parse::<u64>().unwrap() >> 10)
}

#[test]
fn files_of_many_sizes_take_no_more_than_the_limit_and_64_mib() {
    for compression in ["", "none", "zstd", "gzip"] {
        let mut world = World::new();
        world.set("LIMITS__MEMORY", "16MiB");
        let total = fill(&world);
        let archive: &[&str] = match compression {
            "" => &[],
            _ => {
                world.set("DEFAULTS__ARCHIVE__COMPRESSION", compression);
                &["--archive"]
            }
        };
        let run = peak(&world, &[&["run"], archive].concat());
        let target = world.path("restored");
        let restore = [
            "restore",
            "--source",
            SOURCE,
            "--to",
            target.to_str().unwrap(),
        ];
        let restore = peak(&world, &restore);
        eprintln!("{compression}: {total} bytes, {run} MiB, restored {restore} MiB");
    }
}
