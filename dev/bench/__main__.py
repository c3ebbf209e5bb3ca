"""Benchmarks: `compare` runs offsite side by side with its peers, `memory` bounds its memory.

Results go to stdout, to docs/BENCHMARKS.md between its markers, and, run by run, to a JSON file
below target/bench. With --quick everything is small, and the document stays as it is.
"""

import argparse
import dataclasses
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import machine
from document import write_between_markers
from jobs import all_jobs
from measure import CommandFailed
from memory import cases, report
from memory import peaks as measure_peaks
from report import job_report
from tools import Tools
from turns import take_turns
from versions import commit, versions

WORK = Path("target/bench").absolute()
DOCUMENT = Path("docs/BENCHMARKS.md")


def main() -> int:
    # So that what was started and written is ended and removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse()
    tools = Tools(options.offsite.absolute(), options.built.absolute())
    work = WORK / "quick" if options.quick else WORK
    work.mkdir(parents=True, exist_ok=True)
    try:
        return int(options.run(options, tools, work))
    except CommandFailed as failure:
        sys.exit(f"error: {failure}")


def compare(options: argparse.Namespace, tools: Tools, work: Path) -> int:
    jobs = {job.name: job for job in all_jobs(options.quick)}
    names = options.jobs.split(",") if options.jobs else list(jobs)
    if unknown := set(names) - set(jobs):
        sys.exit(f"no such job: {', '.join(unknown)}; there are {', '.join(jobs)}")
    known = versions(tools)
    here = circumstances()
    for name in names:
        command = f"make bench JOBS={name} RUNS={options.runs}"
        measured = f"Medians of {options.runs} turns, least..most. {here}; `{command}`"
        result = take_turns(jobs[name], options.runs, tools, work)
        publish(options, name, job_report(jobs[name], result, known, measured))
        save(work / f"{name}.json", measured, dataclasses.asdict(result))
    return 0


def memory(options: argparse.Namespace, tools: Tools, work: Path) -> int:
    measured = f"{circumstances()}; `make bench-memory`"
    found = [peaks for case in cases(options.quick) for peaks in measure_peaks(case, tools, work)]
    publish(options, "memory", f"{measured}\n\n{report(found)}")
    save(work / "memory.json", measured, [dataclasses.asdict(peaks) for peaks in found])
    return 0 if all(peaks.within_limit for peaks in found) else 1


def circumstances() -> str:
    """When, on what and of what something is measured, asked for before it adds to the load."""
    today = datetime.now(UTC).date()
    return f"{today}, {machine.shape()}, {machine.load()}, commit {commit()}"


def publish(options: argparse.Namespace, name: str, report: str) -> None:
    print(f"\n{report}", flush=True)
    if not options.quick:
        write_between_markers(DOCUMENT, name, report)


def save(file: Path, measured: str, found: object) -> None:
    file.write_text(json.dumps({"measured": measured, "found": found}, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--offsite", type=Path, required=True, help="the program")
    parser.add_argument("--built", type=Path, required=True, help="where local-s3 and floor are")
    parser.add_argument("--quick", action="store_true", help="only try out whether this works")
    commands = parser.add_subparsers(required=True)
    side_by_side = commands.add_parser("compare", help="run offsite and its peers in turns")
    side_by_side.add_argument("--jobs", help="some of them, with commas between; all by default")
    side_by_side.add_argument("--runs", type=int, default=5, help="turns of each job")
    side_by_side.set_defaults(run=compare)
    commands.add_parser("memory", help="bound the memory of a pass").set_defaults(run=memory)
    return parser.parse_args()


sys.exit(main())
