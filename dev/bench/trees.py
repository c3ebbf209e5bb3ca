"""Trees to work on: always the same bytes, generated once and kept."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Tree:
    """`files` files of `file_bytes` random bytes, `per_directory` in each directory."""

    files: int
    file_bytes: int
    per_directory: int = 1000

    @property
    def total_bytes(self) -> int:
        return self.files * self.file_bytes

    def __str__(self) -> str:
        """Such as `20,000 files of 4 KiB`."""
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        return f"{files} of {readable(self.file_bytes)}"

    def ensure(self, below: Path) -> Path:
        return ensure(below / f"{self.files}-files-of-{self.file_bytes}", self._generate)

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


@dataclass(frozen=True)
class MixedTree:
    """`total_bytes` of what people keep: half text, in files of 2 KiB to 2 MiB; a quarter each of pictures
    and of archives, which are random bytes to a compressor, in files of 3 MiB and of 64 MiB."""

    total_bytes: int

    def __str__(self) -> str:
        return f"{readable(self.total_bytes)}, half of it text"

    def ensure(self, below: Path) -> Path:
        return ensure(below / f"mixed-{self.total_bytes}", self._generate)

    def _generate(self, path: Path) -> None:
        source = random.Random(self.total_bytes)
        words = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(4000)]
        # A few words are most of a text, as in every language: each stands in as many of these places.
        weights = [1 / (rank + 1) for rank in range(len(words))]
        places = source.choices(words, weights, k=1 << 16)
        sizes = (1 << power for power in iter(lambda: source.randint(11, 21), None))
        fill(path / "text", self.total_bytes // 2, sizes, lambda: text(source, places))
        quarter = self.total_bytes // 4
        fill(path / "pictures", quarter, iter(lambda: 3 << 20, None), lambda: source.randbytes(CHUNK_BYTES))
        fill(path / "archives", quarter, iter(lambda: 64 << 20, None), lambda: source.randbytes(CHUNK_BYTES))


@dataclass(frozen=True)
class SpreadTree:
    """`total_bytes` in files of every size between 100 KB and 100 MB, as many of each order of magnitude, all
    of the same random bytes."""

    total_bytes: int

    def __str__(self) -> str:
        return f"{readable(self.total_bytes)}, 100 KB to 100 MB each"

    def ensure(self, below: Path) -> Path:
        return ensure(below / f"spread-{self.total_bytes}", self._generate)

    def _generate(self, path: Path) -> None:
        source = random.Random(self.total_bytes)
        chunk = source.randbytes(CHUNK_BYTES)
        sizes = (int(10**power) for power in iter(lambda: source.uniform(5, 8), None))
        fill(path, self.total_bytes, sizes, lambda: chunk)


def text(source: random.Random, places: list[str]) -> bytes:
    """Some 64 KiB of lines of ten words."""
    chosen = [places[at] for at in memoryview(source.randbytes(24_000)).cast("H")]
    lines = (" ".join(chosen[at : at + 10]) for at in range(0, len(chosen), 10))
    return "\n".join(lines).encode()


def fill(path: Path, total: int, sizes: Iterator[int], chunk: Callable[[], bytes]) -> None:
    """Files of these sizes, a hundred in each directory."""
    number = 0
    while total > 0:
        size = min(next(sizes), total)
        directory = path / f"d{number // 100:04}"
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / f"f{number % 100:04}", "wb", buffering=0) as file:
            left = size
            while left > 0:
                left -= file.write(chunk()[:left])
        total -= size
        number += 1


def ensure(path: Path, generate: Callable[[Path], None]) -> Path:
    """The path of a tree, after generating it if it is not there."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        generate(unfinished)
        # Later, the kernel would write it while something is measured.
        os.sync()
        unfinished.rename(path)
    return path


def readable(count: int) -> str:
    """Such as `4 KiB`: the largest unit of which it is not less than one."""
    for exponent, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << exponent:
            return f"{count / (1 << exponent):g} {unit}"
    return f"{count} bytes"


def size(path: Path) -> int:
    """Bytes of all files."""
    files = (os.path.join(directory, name) for directory, _, names in os.walk(path) for name in names)
    return sum(map(os.path.getsize, files))


def read_once(path: Path) -> None:
    """Reads everything, so that whoever comes first finds it in memory as the others do."""
    buffer = bytearray(CHUNK_BYTES)
    for directory, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(directory, name), "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
