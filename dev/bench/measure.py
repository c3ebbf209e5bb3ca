"""Runs a command and tells what it took."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from sink import Sink

# Far above the slowest; a command that takes so long hangs.
LIMIT_SECONDS = 1800
ERROR_BYTES = 2000


@dataclass(frozen=True)
class Command:
    """A command and its whole environment."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Usage:
    """What a command and the children that it waited for took, and what it made the server do."""

    wall_seconds: float
    user_seconds: float
    system_seconds: float
    peak_bytes: int
    server_seconds: float
    sent_bytes: int
    requests: dict[str, int]

    @property
    def cpu_seconds(self) -> float:
        return self.user_seconds + self.system_seconds


class CommandFailed(Exception):
    """A command that is measured has to succeed."""


def loopback_bytes() -> int:
    """What has gone over the loopback interface, headers and answers included."""
    return int(Path("/sys/class/net/lo/statistics/tx_bytes").read_text())


def measure(command: Command, sink: Sink, scratch: Path) -> Usage:
    """Runs the command to its end; what it prints goes to files in `scratch`."""
    sink.take_requests()
    server_before = sink.cpu_seconds()
    sent_before = loopback_bytes()
    errors = scratch / "stderr"
    with open(scratch / "stdout", "wb") as stdout, open(errors, "wb") as stderr:
        started = time.monotonic()
        process = subprocess.Popen(
            command.arguments,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
        )
        timer = Timer(LIMIT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            timer.cancel()
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = errors.read_bytes()[-ERROR_BYTES:].decode(errors="replace")
        raise CommandFailed(f"{command.arguments[0]} ended with {process.returncode}:\n{said}")
    return Usage(
        wall_seconds=wall,
        user_seconds=used.ru_utime,
        system_seconds=used.ru_stime,
        peak_bytes=used.ru_maxrss * 1024,
        server_seconds=sink.cpu_seconds() - server_before,
        sent_bytes=loopback_bytes() - sent_before,
        requests=sink.take_requests(),
    )
