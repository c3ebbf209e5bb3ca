"""Trees to work on: always the same bytes, generated once and kept."""

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Tree:
    """`files` files of `file_bytes` random bytes, `per_directory` in each directory."""

    files: int
    file_bytes: int
    per_directory: int = 1000

    def __str__(self) -> str:
        """Such as `20,000 files of 4 KiB`."""
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        return f"{files} of {readable(self.file_bytes)}"

    def ensure(self, below: Path) -> Path:
        """The tree's path, after generating it if it is not there."""
        path = below / f"{self.files}-files-of-{self.file_bytes}"
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            self._generate(unfinished)
            # Later, the kernel would write it while something is measured.
            os.sync()
            unfinished.rename(path)
        return path

    def _generate(self, path: Path) -> None:
        source = random.Random(self.files)
        for number in range(self.files):
            directory = path / f"d{number // self.per_directory:04}"
            if number % self.per_directory == 0:
                directory.mkdir(parents=True)
            with open(directory / f"f{number % self.per_directory:04}", "wb", buffering=0) as file:
                left = self.file_bytes
                while left > 0:
                    left -= file.write(source.randbytes(min(left, CHUNK_BYTES)))


def readable(count: int) -> str:
    """Such as `4 KiB`: the largest unit of which it is not less than one."""
    for exponent, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << exponent:
            return f"{count / (1 << exponent):g} {unit}"
    return f"{count} bytes"


def read_once(path: Path) -> None:
    """Reads everything, so that whoever comes first finds it in memory as the others do."""
    buffer = bytearray(CHUNK_BYTES)
    for directory, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(directory, name), "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
