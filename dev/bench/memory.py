"""How much memory a pass takes, and that it does not grow with what there is to back up."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import peers
from measure import Command, measure
from place import Place
from report import table
from sink import Sink
from tell import tell
from tools import Tools
from trees import MixedTree, SpreadTree, Tree

FILE_BYTES = 24

Contender = Callable[[Place], Command]


@dataclass(frozen=True)
class Case:
    """Passes over small and large trees, one after the other, and what each may take."""

    trees: tuple[Tree | MixedTree | SpreadTree, ...]
    passes: tuple[tuple[str, Contender], ...]
    limit_mib: int


@dataclass(frozen=True)
class Peaks:
    """MiB for each of the trees."""

    name: str
    trees: tuple[str, ...]
    peaks: list[float]
    limit_mib: int

    @property
    def within_limit(self) -> bool:
        return all(peak < self.limit_mib for peak in self.peaks)

    def row(self) -> list[str]:
        verdict = "held" if self.within_limit else "**exceeded**"
        return [self.name, *(f"{peak:.1f}" for peak in self.peaks), f"{self.limit_mib}, {verdict}"]


def cases(quick: bool) -> tuple[Case, ...]:
    counts = (1_000, 10_000) if quick else (100_000, 300_000, 1_000_000)
    sizes = (16 << 20, 64 << 20) if quick else (1 << 30, 5 << 30)
    spread = SpreadTree((256 << 20) if quick else (2 << 30))
    first_and_again = (("first pass", peers.offsite), ("unchanged pass", peers.offsite))
    archives = (
        ("archive, gzip", peers.offsite_archive_gzip),
        ("archive, zstd", peers.offsite_archive_zstd),
        ("archive, none", peers.offsite_archive_none),
    )
    return (
        Case(tuple(Tree(count, FILE_BYTES) for count in counts), first_and_again, 64),
        Case(tuple(MixedTree(size) for size in sizes), archives, 128),
        Case((spread,), (("first pass", peers.offsite), *archives), 128),
    )


def peaks(case: Case, tools: Tools, work: Path) -> list[Peaks]:
    measured: dict[str, list[float]] = {name: [] for name, _ in case.passes}
    for tree in case.trees:
        path = tree.ensure(work / "trees")
        with Sink(tools.local_s3) as sink, TemporaryDirectory(dir=work) as scratch:
            place = Place(tools, path, sink, "offsite", Path(scratch))
            for name, contender in case.passes:
                usage = measure(contender(place), sink, place.scratch)
                measured[name].append(usage.peak_bytes / 2**20)
                tell(f"{tree}: {name}: {measured[name][-1]:.1f} MiB")
    trees = tuple(map(str, case.trees))
    return [Peaks(name, trees, found, case.limit_mib) for name, found in measured.items()]


def report(found: list[Peaks]) -> str:
    tables = (
        table(["peak MiB", *trees, "limit"], [peaks.row() for peaks in found if peaks.trees == trees])
        for trees in dict.fromkeys(peaks.trees for peaks in found)
    )
    return "\n\n".join(tables)
