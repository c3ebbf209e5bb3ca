"""The server that everybody talks to: local-s3, which counts requests, and forgets contents unless they are
to be restored."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from urllib.request import Request, urlopen

BUCKET = "bench"
# What is copied from one bucket to another comes from here.
ORIGINALS = "originals"
# A bound for everything that is measured on one server.
LIFETIME_SECONDS = 4 * 3600
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Sink:
    """A running server; use it in a `with`. It also ends with this process, and by itself."""

    def __init__(self, executable: Path, keeps_contents: bool = False) -> None:
        where = ["--listen", "127.0.0.1:0", "--bucket", BUCKET, "--bucket", ORIGINALS]
        # Besides contents below `files`, it forgets those where restic has its packs.
        forgets = ["--sink-discard", "/data/"]
        what = ["--sink", *(["--sink-keep"] if keeps_contents else forgets)]
        until = ["--exit-with-parent", "--stop-after", str(LIFETIME_SECONDS)]
        self._process = subprocess.Popen(
            [executable, *where, *what, *until], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()
        if not self.endpoint:
            raise RuntimeError("local-s3 did not start")

    def __enter__(self) -> "Sink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def authority(self) -> str:
        return self.endpoint.removeprefix("http://")

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        # proc(5): fields 14 and 15; the name in parentheses is the second.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def take_requests(self) -> dict[str, int]:
        """Requests by operation and their `total`, since the last time."""
        with urlopen(f"{self.endpoint}/_stats") as answer:
            counts: dict[str, int] = json.load(answer)
        urlopen(Request(f"{self.endpoint}/_stats/reset", method="POST")).close()
        return counts
