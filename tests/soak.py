#!/usr/bin/env python3
"""Runs all tests again and again, every third time beside builds that keep all cores busy.

    python3 tests/soak.py                    20 runs
    python3 tests/soak.py --minutes 60       as many as are done within the time
    python3 tests/soak.py -- cargo test -p trackops-lambda

A run that is red does not end it. Each run has a log, target/soak/run-NN.log; the table of all of
them, with the tests that were red, is printed at the end, and is in target/soak/table.md meanwhile.
Ctrl-C ends it like the end of the time: the run that is under way is stopped and does not count.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "target/soak"
COMMAND = ["cargo", "test", "--no-fail-fast"]
RED_TEST = re.compile(r"^test (\S+)(?: - .*)? \.\.\. FAILED", re.MULTILINE)
# A binary that did not compile, crashed, or was killed names no test.
RED_BINARY = re.compile(r"^error: (?:could not compile|.*process didn't exit).*", re.MULTILINE)
COUNTS = re.compile(r"^test result: .* (\d+) passed; (\d+) failed", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--busy-every", type=int, default=3, metavar="N", help="0: never")
    parser.add_argument("command", nargs="*", default=COMMAND, help=f"not {' '.join(COMMAND)}")
    options = parser.parse_args()

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    end = time.monotonic() + options.minutes * 60
    rows = []
    with contextlib.suppress(KeyboardInterrupt):
        # So that no run's time is that of the build.
        build = [*options.command[:2], "--no-run", *options.command[2:]]
        if options.command[:2] == COMMAND[:2] and subprocess.run(build, cwd=ROOT).returncode:
            return "it does not build"
        for number in range(1, options.runs + 1):
            busy = options.busy_every > 0 and number % options.busy_every == 0
            row = run(number, busy, options.command, end)
            if row is None:
                break
            rows.append(row)
            write_table(rows, options)
    write_table(rows, options)
    print(f"\n{(FOLDER / 'table.md').read_text()}")
    return 0 if rows and all(row["green"] for row in rows) else 1


def run(number, busy, command, end):
    """What became of it; `None` when the time was over before it was."""
    log = FOLDER / f"run-{number:02}.log"
    beside = ", beside builds" if busy else ""
    print(f"run {number}{beside}: {log.relative_to(ROOT)} ...", flush=True)
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        if busy:
            stack.enter_context(builds())
        file = stack.enter_context(log.open("w"))
        process = stack.enter_context(started(command, stdout=file, stderr=subprocess.STDOUT))
        left = None if end == float("inf") else max(0, end - time.monotonic())
        try:
            status = process.wait(left)
        except subprocess.TimeoutExpired:
            print("    the time is over", flush=True)
            return None
    text = log.read_text(errors="replace")
    counts = [tuple(map(int, pair)) for pair in COUNTS.findall(text)]
    row = {
        "number": number,
        "busy": busy,
        "seconds": time.monotonic() - begin,
        "green": status == 0,
        "passed": sum(passed for passed, _ in counts),
        "red": sorted(set(RED_TEST.findall(text))) + RED_BINARY.findall(text),
    }
    what = "green" if row["green"] else f"RED: {', '.join(row['red']) or f'status {status}'}"
    print(f"    {what}, {row['passed']} passed, {row['seconds']:.0f} s", flush=True)
    return row


@contextlib.contextmanager
def builds():
    """The workspace is built anew, again and again, with as many jobs as there are cores."""
    target = FOLDER / "beside"
    build = "cargo build --quiet --workspace --all-targets"
    again = f'while :; do {build}; rm -rf "$CARGO_TARGET_DIR"; done'
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    try:
        nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with started(["nice", "-n", "10", "sh", "-c", again], env=environment, **nothing):
            yield
    finally:
        shutil.rmtree(target, ignore_errors=True)


@contextlib.contextmanager
def started(command, **options):
    """A process that ends, with all that it has started, when this is left."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def write_table(rows, options):
    green = sum(row["green"] for row in rows)
    lines = [
        f"`{' '.join(options.command)}`: {green} of {len(rows)} runs green",
        "",
        "| run | beside builds | minutes | tests passed | red |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        red = "" if row["green"] else "<br>".join(row["red"]) or "see its log"
        beside, minutes = "yes" if row["busy"] else "", row["seconds"] / 60
        lines.append(f"| {row['number']} | {beside} | {minutes:.1f} | {row['passed']} | {red} |")
    (FOLDER / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
