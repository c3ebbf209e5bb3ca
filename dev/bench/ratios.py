"""Numbers of several runs, and how contenders compare."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from jobs import OFFSITE, Aim, Bound
from measure import Usage
from turns import Result

RESOURCES: dict[str, Callable[[Usage], float]] = {
    "cpu": lambda usage: usage.cpu_seconds,
    "wall": lambda usage: usage.wall_seconds,
    "requests": lambda usage: usage.requests["total"],
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


def judged(aim: Aim | Bound, result: Result) -> str:
    """Whether an aim was met."""
    return beside_peers(aim, result) if isinstance(aim, Aim) else within(aim, result)


def within(bound: Bound, result: Result) -> str:
    """Whether offsite stayed within a bound, and what the others took."""
    taken = {
        name: median(RESOURCES[bound.resource](run) for run in runs) / bound.items
        for name, runs in result.runs.items()
    }
    verdict = "met" if taken[OFFSITE] <= bound.most else "missed"
    each = ", ".join(f"{name} {amount:.4f}" for name, amount in taken.items())
    return (
        f"Aim: {bound.says}: **{verdict}**. "
        f"{bound.resource.capitalize()} an object: {each}; the aim is {bound.most:.4f}."
    )


def beside_peers(aim: Aim, result: Result) -> str:
    """Whether an aim was met, by the peer that comes closest."""
    ratios = {name: compared(result, name, aim.resource) for name in aim.peers}
    closest = min(ratios, key=lambda name: ratios[name].median)
    ratio = ratios[closest]
    verdict = "met" if ratio.median >= aim.times else "missed"
    return (
        f"Aim: {aim.says}: **{verdict}**. "
        f"{closest} took {ratio} times what offsite did, and the aim is {aim.times:g}."
    )
