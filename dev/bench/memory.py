"""How much memory a pass takes, and that it does not grow with the number of files."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import measure
from peers import offsite
from place import Place
from report import table
from sink import Sink
from tell import tell
from tools import Tools
from trees import Tree

LIMIT_MIB = 64
FILE_BYTES = 24
PASSES = ("first pass", "unchanged pass")


@dataclass(frozen=True)
class Peaks:
    """MiB by pass and, within it, by number of files."""

    files: tuple[int, int]
    peaks: dict[str, list[float]]

    @property
    def within_limit(self) -> bool:
        return all(peak < LIMIT_MIB for peaks in self.peaks.values() for peak in peaks)

    def report(self) -> str:
        headings = ["peak MiB", *(f"{Tree(files, FILE_BYTES)}" for files in self.files), "growth"]
        rows = [
            [name, *(f"{peak:.1f}" for peak in peaks), f"{peaks[-1] - peaks[0]:+.1f}"]
            for name, peaks in self.peaks.items()
        ]
        verdict = "held" if self.within_limit else "**exceeded**"
        return f"{table(headings, rows)}\n\nThe limit of {LIMIT_MIB} MiB was {verdict}."


def peaks(files: tuple[int, int], tools: Tools, work: Path) -> Peaks:
    measured: dict[str, list[float]] = {name: [] for name in PASSES}
    for count in files:
        tree = Tree(count, FILE_BYTES).ensure(work / "trees")
        with Sink(tools.local_s3) as sink, TemporaryDirectory(dir=work) as scratch:
            place = Place(tools, tree, sink, "offsite", Path(scratch))
            for name in PASSES:
                usage = measure(offsite(place), sink, place.scratch)
                measured[name].append(usage.peak_bytes / 2**20)
                tell(f"{count:,} files: {name}: {measured[name][-1]:.1f} MiB")
    return Peaks(files, measured)
