"""Where a command works: what it reads, where it sends it, where it may leave things."""

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from measure import Command
from sink import BUCKET, Sink
from tools import Tools

# What directories to restore into begin with.
RESTORED = "restored-"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Place:
    """Nobody else sends below `prefix` or writes below `scratch`, the home directory."""

    tools: Tools
    tree: Path
    sink: Sink
    prefix: str
    scratch: Path

    @property
    def target(self) -> str:
        """Where a mirror goes; below `files`, the server forgets contents."""
        return f"{BUCKET}/{self.prefix}/files"

    def fresh(self) -> Path:
        """An empty directory of its own to restore into."""
        return Path(mkdtemp(prefix=RESTORED, dir=self.scratch))

    def restored(self) -> list[Path]:
        return list(self.scratch.glob(f"{RESTORED}*"))

    def command(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None
    ) -> Command:
        """A command in the environment that everybody has, and what it needs besides."""
        common = {
            "PATH": SYSTEM_PATH,
            "HOME": str(self.scratch),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return Command([str(argument) for argument in arguments], common | dict(environment or {}))

    def shown(self, command: Command) -> str:
        """The command as people write it, with words for what differs from place to place."""
        line = shlex.join([Path(command.arguments[0]).name, *command.arguments[1:]])
        line = re.sub(rf"{re.escape(str(self.scratch))}/{RESTORED}\w+", "TARGET", line)
        words = {
            str(self.tree): "TREE",
            self.sink.endpoint: "ENDPOINT",
            self.sink.authority: "HOST",
            self.prefix: "PREFIX",
        }
        # Programs of the virtual environment, also within a script.
        line = re.sub(rf"{re.escape(sys.prefix)}/\S*/", "", line)
        for said, word in words.items():
            line = line.replace(said, word)
        return line
