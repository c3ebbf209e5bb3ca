"""Holds free memory, all but what others need meanwhile, so that it is there once it is given back.

A virtual machine gives pages that are not used back to its host; whoever fills the page cache next would pay for getting
them again, seconds for 2 GiB. A process of its own holds them: what the driver has counts into the peaks of its children.
"""

import subprocess
import sys
from mmap import MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, PAGESIZE, mmap
from pathlib import Path

# Left to everybody else.
SPARE_BYTES = 1 << 29

# What the process says once it has the memory.
HELD = b"held\n"


class FreeMemory:
    """What is free now but for `SPARE_BYTES`, taken until it is given back."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != HELD:
            raise RuntimeError(f"free memory is not held: exit code {self._holder.wait()}")

    def give_back(self) -> None:
        self._holder.communicate()


def hold() -> None:
    """Takes it, says so, and keeps it until standard input ends."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemFree:"))
    size = max(free - SPARE_BYTES, PAGESIZE)
    with mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE):
        sys.stdout.buffer.write(HELD)
        sys.stdout.buffer.flush()
        sys.stdin.read()


if __name__ == "__main__":
    hold()
