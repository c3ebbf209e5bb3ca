"""What is compared: jobs, who does them, and what offsite aims at."""

from collections.abc import Callable
from dataclasses import dataclass

import peers
import tools
from measure import Command
from place import Place
from trees import MixedTree, Tree

Step = Callable[[Place], Command]

OFFSITE = "offsite"


@dataclass(frozen=True)
class Contender:
    """Somebody who does a job; `before` makes a place ready and is not measured. Whoever `shares` works
    on what was made ready for that one."""

    name: str
    step: Step
    before: tuple[Step, ...] = ()
    shares: str | None = None


@dataclass(frozen=True)
class Aim:
    """Offsite takes at most 1 / `times` of what each of `peers` takes of `resource`."""

    says: str
    resource: str
    times: float
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """Offsite takes at most `most` of `resource` for each item."""

    says: str
    resource: str
    most: float
    items: int


@dataclass(frozen=True)
class Job:
    name: str
    says: str
    tree: Tree | MixedTree
    contenders: tuple[Contender, ...]
    aims: tuple[Aim | Bound, ...]
    # What makes the server ready for everybody, once; not measured.
    before: tuple[Step, ...] = ()
    # Whether each turn finds what the last one left, rather than a place of its own.
    stays: bool = False
    # Whether something is restored, so that contents matter.
    restores: bool = False


MIRRORS = ("s5cmd", "rclone", "aws s3 sync")
# Those that have the server copy, and do more than one object at once.
COPIERS = ("s5cmd", "rclone")
BACKUPS = (*MIRRORS, "restic")
WALKERS = ("gdu", "fd", "du")


def first(tree: Tree) -> Job:
    return Job(
        "first",
        f"First pass over {tree}",
        tree,
        (
            Contender(OFFSITE, peers.offsite),
            Contender("floor", peers.floor_files),
            Contender("s5cmd", peers.s5cmd_first),
            Contender("rclone", peers.rclone_first),
            Contender("aws s3 sync", peers.aws),
            Contender("restic", peers.restic, (peers.restic_init,)),
        ),
        (
            Aim("CPU at most a quarter of s5cmd's and rclone's", "cpu", 4, ("s5cmd", "rclone")),
            Aim("wall at most half of the fastest mirror's", "wall", 2, MIRRORS),
        ),
    )


def unchanged(tree: Tree) -> Job:
    return Job(
        "unchanged",
        f"Unchanged pass over {tree}",
        tree,
        (
            Contender(OFFSITE, peers.offsite, (peers.offsite,)),
            Contender("s5cmd", peers.s5cmd_again, (peers.s5cmd_first,)),
            Contender("rclone", peers.rclone_again, (peers.rclone_first,)),
            Contender("aws s3 sync", peers.aws, (peers.aws,)),
            Contender("restic", peers.restic, (peers.restic_init, peers.restic)),
        ),
        (
            Aim("CPU at most a quarter of the best peer's", "cpu", 4, BACKUPS),
            Aim("wall at most half of the fastest mirror's", "wall", 2, MIRRORS),
        ),
        stays=True,
    )


def large(tree: Tree) -> Job:
    return Job(
        "large",
        f"First pass over {tree}",
        tree,
        (
            Contender(OFFSITE, peers.offsite),
            Contender("floor", peers.floor_parts),
            Contender("s5cmd", peers.s5cmd_large),
            Contender("rclone", peers.rclone_large),
            Contender("aws s3 sync", peers.aws),
            Contender("restic", peers.restic, (peers.restic_init,)),
        ),
        (Aim("twice the bytes per CPU-second of the best peer", "cpu", 2, BACKUPS),),
    )


def walk(tree: Tree) -> Job:
    return Job(
        "walk",
        f"Unchanged pass over {tree}, and walks that stat every file",
        tree,
        (
            Contender(OFFSITE, peers.offsite, (peers.offsite,)),
            Contender("gdu", peers.gdu),
            Contender("fd", peers.fd),
            Contender("du", peers.du),
        ),
        (Aim("wall at most twice the fastest walk's", "wall", 0.5, WALKERS),),
        stays=True,
    )


def archive(tree: MixedTree) -> Job:
    return Job(
        "archive",
        f"Archive of {tree}",
        tree,
        (
            Contender(OFFSITE, peers.offsite_archive_gzip),
            Contender("tar, pigz, aws", peers.tar_pigz),
            Contender("offsite, zstd", peers.offsite_archive_zstd),
            Contender("tar, zstd, aws", peers.tar_zstd),
        ),
        (Aim("twice as fast as tar and pigz", "wall", 2, ("tar, pigz, aws",)),),
    )


def restore_small(tree: Tree) -> Job:
    return restore("restore-small", tree, peers.s5cmd_restore, peers.rclone_restore, peers.floor_get)


def restore_large(tree: Tree) -> Job:
    return restore(
        "restore-large", tree, peers.s5cmd_restore_large, peers.rclone_restore_large, peers.floor_get_parts
    )


def restore(name: str, tree: Tree, s5cmd: Step, rclone: Step, floor: Step) -> Job:
    contenders = (
        Contender(OFFSITE, peers.offsite_restore, (peers.offsite,)),
        Contender("floor", floor, shares="s5cmd"),
        Contender("s5cmd", s5cmd, (peers.s5cmd_large,)),
        Contender("rclone", rclone, shares="s5cmd"),
        Contender("aws s3 sync", peers.aws_restore, shares="s5cmd"),
        Contender("restic", peers.restic_restore, (peers.restic_init, peers.restic)),
        *rustic(),
    )
    return Job(
        name,
        f"Restore of {tree}",
        tree,
        contenders,
        aims(tuple(each.name for each in contenders if each.name not in (OFFSITE, "floor"))),
        stays=True,
        restores=True,
    )


def restore_archive(tree: MixedTree) -> Job:
    archives = ("tar, zstd, aws", "tar, zstd, s5cmd", "tar, zstd, rclone")
    others = (
        Contender("restic", peers.restic_restore, (peers.restic_init, peers.restic_compressed)),
        *rustic(),
    )
    return Job(
        "restore-archive",
        f"Restore of {tree}, out of a tar compressed with zstd",
        tree,
        (
            Contender(OFFSITE, peers.offsite_restore, (peers.offsite_archive_zstd,)),
            Contender(archives[0], peers.untar_aws, (peers.tar_zstd,)),
            Contender(archives[1], peers.untar_s5cmd, shares=archives[0]),
            Contender(archives[2], peers.untar_rclone, shares=archives[0]),
            *others,
        ),
        aims((*archives, *(each.name for each in others))),
        stays=True,
        restores=True,
    )


def bucket_first(tree: Tree) -> Job:
    return Job(
        "bucket-first",
        f"First pass over a bucket of {tree.files:,} objects",
        tree,
        (
            Contender(OFFSITE, peers.offsite_bucket),
            Contender("s5cmd", peers.s5cmd_bucket_first),
            Contender("rclone", peers.rclone_bucket_first),
        ),
        (
            requests_for(tree, 1, "one request an object, and 50 and a page for 1,000 objects", 50),
            Aim("CPU at most a quarter of each peer's", "cpu", 4, COPIERS),
        ),
        before=(peers.originals,),
    )


def bucket_unchanged(tree: Tree) -> Job:
    return Job(
        "bucket-unchanged",
        f"Unchanged pass over a bucket of {tree.files:,} objects",
        tree,
        (
            Contender(OFFSITE, peers.offsite_bucket, (peers.offsite_bucket,)),
            Contender("s5cmd", peers.s5cmd_bucket_again, (peers.s5cmd_bucket_first,)),
            Contender("rclone", peers.rclone_bucket_again, (peers.rclone_bucket_first,)),
        ),
        (
            requests_for(tree, 0, "no request an object, but 20 and a page for 1,000 objects", 20),
            Aim("CPU at most a quarter of each peer's", "cpu", 4, COPIERS),
        ),
        before=(peers.originals,),
        stays=True,
    )


def requests_for(tree: Tree, each: int, says: str, rest: int) -> Bound:
    pages = 0.001
    return Bound(says, "requests", each + pages + rest / tree.files, tree.files)


def rustic() -> tuple[Contender, ...]:
    contender = Contender("rustic", peers.rustic_restore, (peers.rustic_init, peers.rustic))
    return (contender,) if tools.rustic() else ()


def aims(peers: tuple[str, ...]) -> tuple[Aim, ...]:
    return (
        Aim("CPU below the best peer's", "cpu", 1, peers),
        Aim("wall below the fastest peer's", "wall", 1, peers),
    )


def all_jobs(quick: bool) -> list[Job]:
    """All jobs; small ones where the driver is what is tried out."""
    shrink = 100 if quick else 1
    small = Tree(20_000 // shrink, 4096, per_directory=100)
    return [
        first(small),
        unchanged(small),
        large(Tree(1, (2 << 30) // shrink)),
        walk(Tree(1_000_000 // shrink, 24)),
        archive(MixedTree((2 << 30) // shrink)),
        restore_small(small),
        restore_large(Tree(1, (2 << 30) // shrink)),
        restore_archive(MixedTree((2 << 30) // shrink)),
        bucket_first(small),
        bucket_unchanged(small),
    ]
