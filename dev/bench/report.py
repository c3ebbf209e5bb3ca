"""Results as Markdown, for a terminal as well as for a document."""

from statistics import median

from jobs import Job
from measure import Usage
from ratios import compared, judged
from turns import Result


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Names to the left and numbers to the right, in the source as well."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        aligned = [cells[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(aligned)} |"

    rules = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
    return "\n".join([line(headings), f"|{'|'.join(rules)}|", *map(line, rows)])


def job_report(job: Job, result: Result, versions: dict[str, str], measured: str) -> str:
    headings = [
        "", "CPU s", "user s", "system s", "wall s", "peak MiB", "requests", "sent MiB", "server CPU s",
        "CPU, times offsite's", "wall, times offsite's",
    ]  # fmt: skip
    rows = [
        [name, *numbers(runs), *(str(compared(result, name, which)) for which in ("cpu", "wall"))]
        for name, runs in result.runs.items()
    ]
    commands = [
        f"- {' '.join(filter(None, (name, versions.get(name))))}: `{command}`"
        for name, command in result.commands.items()
    ]
    aims = [f"- {judged(aim, result)}" for aim in job.aims]
    return "\n".join(
        [f"**{job.says}.** {measured}", "", table(headings, rows), "", *aims, "", *commands]
    )


def numbers(runs: list[Usage]) -> list[str]:
    """The medians of what one contender took."""
    return [
        f"{median(run.cpu_seconds for run in runs):.2f}",
        f"{median(run.user_seconds for run in runs):.2f}",
        f"{median(run.system_seconds for run in runs):.2f}",
        f"{median(run.wall_seconds for run in runs):.2f}",
        f"{median(run.peak_bytes for run in runs) / 2**20:.0f}",
        f"{median(run.requests['total'] for run in runs):,.0f}",
        f"{median(run.sent_bytes for run in runs) / 2**20:,.0f}",
        f"{median(run.server_seconds for run in runs):.2f}",
    ]
