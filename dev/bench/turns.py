"""Does a job: everybody in turns, side by side."""

import os
import shutil
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from free_memory import FreeMemory
from jobs import Contender, Job, Step
from measure import CommandFailed, Usage, measure
from place import Place
from sink import Sink
from tell import tell
from tools import Tools
from trees import read_once, size

# Restored trees of this size are not kept.
LARGE_BYTES = 1 << 29


@dataclass(frozen=True)
class Result:
    """What each contender took in each turn, and the command it ran."""

    runs: dict[str, list[Usage]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, usage: Usage, command: str) -> None:
        self.runs.setdefault(name, []).append(usage)
        self.commands[name] = command


def take_turns(job: Job, turns: int, tools: Tools, work: Path) -> Result:
    tell(f"{job.name}: preparing")
    tree = job.tree.ensure(work / "trees")
    read_once(tree)
    result = Result()
    with Sink(tools.local_s3, keeps_contents=job.restores) as sink, TemporaryDirectory(dir=work) as scratch:
        places = Places(tools, tree, sink, Path(scratch))
        places.prepare("before", job.before)
        kept = {each.name: places.settle(each) for each in job.contenders if job.stays and not each.shares}
        kept |= {each.name: kept[each.shares] for each in job.contenders if each.shares}
        memory = FreeMemory() if job.restores else None
        for turn in range(turns):
            # Nobody always comes after the same one.
            first = turn % len(job.contenders)
            for contender in job.contenders[first:] + job.contenders[:first]:
                place = kept.get(contender.name) or places.settle(contender)
                command = contender.step(place)
                if memory:
                    memory.give_back()
                usage = measure(command, sink, place.scratch)
                memory = FreeMemory() if job.restores else None
                result.add(contender.name, usage, place.shown(command))
                if job.restores:
                    check_restored(place, job.tree.total_bytes)
                tell(
                    f"{job.name}: turn {turn + 1} of {turns}: {contender.name}: "
                    f"{usage.cpu_seconds:.2f} s of CPU, {usage.wall_seconds:.2f} s"
                )
        if memory:
            memory.give_back()
    return result


def check_restored(place: Place, total_bytes: int) -> None:
    """Makes sure that everything was restored, and that it is on the disk: otherwise the kernel would write
    it while the next one is measured. What is large is removed; what is small stays, because ext4 is slow to
    make files where many were just removed."""
    *_, last = sorted(place.restored(), key=lambda path: path.stat().st_ctime_ns)
    if size(last) != total_bytes:
        raise CommandFailed(f"{last} has {size(last)} bytes in place of {total_bytes}")
    os.sync()
    if total_bytes > LARGE_BYTES:
        shutil.rmtree(last)


class Places:
    """Gives a place of its own to everybody who asks."""

    def __init__(self, tools: Tools, tree: Path, sink: Sink, scratch: Path) -> None:
        self._tools = tools
        self._tree = tree
        self._sink = sink
        self._scratch = scratch
        self._numbers = count(1)

    def settle(self, contender: Contender) -> Place:
        """A new place, made ready."""
        return self.prepare(contender.name, contender.before)

    def prepare(self, name: str, steps: tuple[Step, ...]) -> Place:
        """A new place, and what `steps` make in it."""
        prefix = f"{name.replace(' ', '-')}-{next(self._numbers)}"
        place = Place(self._tools, self._tree, self._sink, prefix, self._scratch / prefix)
        place.scratch.mkdir()
        for step in steps:
            measure(step(place), self._sink, place.scratch)
        return place
