"""What is compared: jobs, who does them, and what offsite aims at."""

from collections.abc import Callable
from dataclasses import dataclass

import peers
from measure import Command
from place import Place
from trees import MixedTree, Tree

Step = Callable[[Place], Command]

OFFSITE = "offsite"


@dataclass(frozen=True)
class Contender:
    """Somebody who does a job; `before` makes a place ready and is not measured."""

    name: str
    step: Step
    before: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Aim:
    """Offsite takes at most 1 / `times` of what each of `peers` takes of `resource`."""

    says: str
    resource: str
    times: float
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    name: str
    says: str
    tree: Tree | MixedTree
    contenders: tuple[Contender, ...]
    aims: tuple[Aim, ...]
    # Whether each turn finds what the last one left, rather than a place of its own.
    stays: bool = False


MIRRORS = ("s5cmd", "rclone", "aws s3 sync")
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
    ]
