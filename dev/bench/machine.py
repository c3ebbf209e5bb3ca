"""What was measured on, without saying where."""

import os
import re
from pathlib import Path

from tell import tell

# More than this, and somebody else is at work.
QUIET_LOAD = 0.5


def shape() -> str:
    """Such as `2 cores (AMD EPYC), 24 GiB, Linux 6.1`."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kernel = ".".join(os.uname().release.split(".")[:2])
    processor = f" ({model[1].strip()})" if model else ""
    return f"{os.cpu_count()} cores{processor}, {memory / 2**30:.0f} GiB, Linux {kernel}"


def load() -> str:
    """The load average of the last minute, with a warning where it is not ours alone."""
    average = os.getloadavg()[0]
    if average > QUIET_LOAD:
        tell(f"warning: the load average is {average:.1f}: other work on this machine adds noise")
        return f"load average {average:.1f} at the start: not quiet"
    return f"load average {average:.1f} at the start"
