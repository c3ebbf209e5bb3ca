"""Numbers of several runs, and how contenders compare."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from jobs import OFFSITE, Aim
from measure import Usage
from turns import Result

RESOURCES: dict[str, Callable[[Usage], float]] = {
    "cpu": lambda usage: usage.cpu_seconds,
    "wall": lambda usage: usage.wall_seconds,
}


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}..{self.most:.2f})"


def spread(values: list[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def compared(result: Result, name: str, resource: str) -> Spread:
    """What `name` took for each unit that offsite took, turn by turn."""
    of = RESOURCES[resource]
    pairs = zip(result.runs[name], result.runs[OFFSITE], strict=True)
    return spread([of(theirs) / of(ours) for theirs, ours in pairs])


def judged(aim: Aim, result: Result) -> str:
    """Whether an aim was met, by the peer that comes closest."""
    ratios = {name: compared(result, name, aim.resource) for name in aim.peers}
    closest = min(ratios, key=lambda name: ratios[name].median)
    ratio = ratios[closest]
    verdict = "met" if ratio.median >= aim.times else "missed"
    return (
        f"Aim: {aim.says}: **{verdict}**. "
        f"{closest} took {ratio} times what offsite did, and the aim is {aim.times:g}."
    )
