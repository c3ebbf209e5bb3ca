//! What the flags of a restore mean together.

use super::buckets::is_url;
use crate::cli::RestoreArgs;
use crate::error::Failure;
use crate::exit::ExitCode;

/// What is typed together and contradicts itself: two flags, and what to do instead.
type Contradiction = (&'static str, &'static str, &'static str);

const CONTRADICTIONS: [Contradiction; 11] = [
    (
        "--replace",
        "--overwrite",
        "leave out --overwrite: --replace puts a new tree in place of the old one and overwrites nothing",
    ),
    (
        "--replace",
        "--delete",
        "leave out --delete: a tree that is replaced has nothing but what the snapshot has",
    ),
    ("--replace", "--path", PARTS),
    ("--replace", "--session", PARTS),
    ("--replace", "--category", PARTS),
    (
        "--delete",
        "--category",
        "leave out --delete: of objects, it removes nothing",
    ),
    ("--test", "--replace", TEST),
    ("--test", "--overwrite", TEST),
    ("--test", "--delete", TEST),
    (
        "--test",
        "--dry-run",
        "leave out one of them: --dry-run looks at the target and reads no contents, --test reads all contents",
    ),
    ("--discard-old", "--test", DISCARD),
];

const PARTS: &str = "--replace exchanges whole trees; to restore a part, use --overwrite, and --delete to remove what the snapshot lacks in it";
const TEST: &str = "--test writes nothing: run it first, and then the same command without it";
const DISCARD: &str =
    "--discard-old restores nothing: run it on its own, when you have looked at what was restored";

/// What --discard-old stands beside without meaning anything.
const NOT_WITH_DISCARD: [&str; 8] = [
    "--replace",
    "--overwrite",
    "--delete",
    "--path",
    "--session",
    "--category",
    "--snapshot",
    "--at",
];

/// Refuses what contradicts itself.
pub(super) fn check(args: &RestoreArgs) -> Result<(), Failure> {
    check_bucket(args)?;
    let discards = NOT_WITH_DISCARD.map(|other| ("--discard-old", other, DISCARD));
    for (one, other, hint) in CONTRADICTIONS.into_iter().chain(discards) {
        if is_given(args, one) && is_given(args, other) {
            let message = format!("{one} and {other} cannot be used together");
            return Err(Failure::new(ExitCode::Usage, message).hint(hint));
        }
    }
    Ok(())
}

/// Refuses what means something only of buckets, or nothing of them.
fn check_bucket(args: &RestoreArgs) -> Result<(), Failure> {
    let usage = |message: String, hint: &str| {
        Err(Failure::new(ExitCode::Usage, message).hint(hint.to_owned()))
    };
    if args.to.as_deref().is_some_and(is_url) {
        let not_of_buckets = ["--replace", "--delete", "--discard-old", "--test"];
        let given = not_of_buckets.into_iter().find(|flag| is_given(args, flag));
        return match given {
            None => Ok(()),
            Some("--test") => usage(
                "--test writes nothing, into no bucket either".to_owned(),
                "leave out --to: `offsite restore --test` reads and checks everything",
            ),
            Some(flag) => usage(
                format!("{flag} is for directories, and --to names a bucket"),
                "leave it out: what differs is replaced with --overwrite, and what the snapshot does not have stays",
            ),
        };
    }
    let of_buckets = [
        ("--to-region", args.to_region.is_some()),
        ("--to-endpoint-url", args.to_endpoint_url.is_some()),
        ("--to-profile", args.to_profile.is_some()),
        ("--unconditional", args.unconditional && !args.in_place),
    ];
    match of_buckets.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => usage(
            format!("{flag} is for buckets, and --to names none"),
            "leave it out, or name a bucket: --to s3://BUCKET/PREFIX",
        ),
    }
}

fn is_given(args: &RestoreArgs, flag: &str) -> bool {
    match flag {
        "--replace" => args.replace,
        "--overwrite" => args.overwrite,
        "--delete" => args.delete,
        "--discard-old" => args.discard_old,
        "--test" => args.test,
        "--dry-run" => args.dry_run,
        "--path" => !args.path.is_empty(),
        "--session" => !args.session.is_empty(),
        "--category" => !args.category.is_empty(),
        "--snapshot" => args.select.snapshot.is_some(),
        "--at" => args.select.at.is_some(),
        _ => false,
    }
}
