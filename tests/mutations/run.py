#!/usr/bin/env python3
"""Takes one guard of the product out at a time, and sees that a named test fails.

    python3 tests/mutations/run.py                 all of guards.py
    python3 tests/mutations/run.py TEXT...         those whose name, file or test has one of the texts
    python3 tests/mutations/run.py --check         only whether each still fits the sources (seconds)
    python3 tests/mutations/run.py --list

It works in a copy of what is committed, under target/mutations/, and leaves the sources alone. The
first run builds there. A guard is held if, without it, everything compiles, exactly the named test
runs, and it fails; with it, the test passes. The table goes to target/mutations/table.md as well.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from guards import GUARDS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target/mutations"
COPY = FOLDER / "sources"
TABLE = FOLDER / "table.md"

# A test that hangs without its guard notices as well, but says so late.
PATIENCE_SECONDS = 900


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--check", action="store_true", help="only compare guards and sources")
    parser.add_argument("--list", action="store_true", help="name the guards and their tests")
    parser.add_argument(
        "--target-dir", type=Path, default=FOLDER / "target", help="where cargo builds"
    )
    options = parser.parse_args()

    guards = [guard for guard in GUARDS if chosen(guard, options.texts)]
    if not guards:
        return f"no guard has {' or '.join(options.texts)}: --list names all {len(GUARDS)}"
    if options.list:
        for guard in guards:
            print(f"{guard.name}\n    {guard.file}: {guard.test.name}")
        return 0
    problems = [problem for guard in GUARDS for problem in misfits(guard)] + doubles()
    if problems:
        return "\n".join(["tests/mutations/guards.py does not fit the sources:", *problems])
    print(f"{len(GUARDS)} guards fit the sources")
    return 0 if options.check else run(guards, options)


def chosen(guard, texts):
    about = f"{guard.name} {guard.file} {guard.test.name}"
    return not texts or any(text in about for text in texts)


def misfits(guard):
    """What is wrong with a guard's text or test, as the sources are now."""
    path = ROOT / guard.file
    if not path.exists():
        return [f"{guard.name}: there is no {guard.file}"]
    times = path.read_text().count(guard.text)
    problems = []
    if times != 1:
        problems.append(f"{guard.name}: its text is {times} times in {guard.file}: {guard.text}")
    if guard.text == guard.instead:
        problems.append(f"{guard.name}: nothing changes")
    name = guard.test.name.rsplit("::", 1)[-1]
    defined = re.compile(rf"fn {re.escape(name)}\s*\(")
    if not any(defined.search(source.read_text()) for source in sources(guard.test)):
        problems.append(f"{guard.name}: {guard.test.package} has no test {guard.test.name}")
    return problems


def sources(test):
    for manifest in ROOT.glob("*/**/Cargo.toml"):
        if "target" in manifest.relative_to(ROOT).parts:
            continue
        if f'name = "{test.package}"' in manifest.read_text():
            folder = manifest.parent / ("src" if test.target == "lib" else "tests")
            yield from folder.rglob("*.rs")


def doubles():
    names = [guard.name for guard in GUARDS]
    return [f"{name}: there are two" for name in sorted(set(names)) if names.count(name) > 1]


def run(guards, options):
    copy_sources()
    rows, passing = [], {}
    for number, guard in enumerate(guards, 1):
        begin = time.monotonic()
        print(f"[{number}/{len(guards)}] {guard.name} ...", flush=True)
        if guard.test not in passing:
            passing[guard.test] = outcome(guard.test, options) == "passes"
        result = judge(guard, options) if passing[guard.test] else "its test fails WITH the guard"
        rows.append((guard, result, time.monotonic() - begin))
        print(f"    {result}, {rows[-1][2]:.0f} s", flush=True)
        write_table(rows, len(guards))
    held = sum(result == "held" for _, result, _ in rows)
    print(f"\n{TABLE.read_text()}")
    return 0 if held == len(rows) else 1


def judge(guard, options):
    path = COPY / guard.file
    source = path.read_text()
    if source.count(guard.text) != 1:
        return "commit first: what is committed does not have its text"
    path.write_text(source.replace(guard.text, guard.instead))
    try:
        result = outcome(guard.test, options)
    finally:
        path.write_text(source)
    return {"fails": "held", "passes": "NOT HELD: the test passes without it"}.get(result, result)


def outcome(test, options):
    """`passes`, `fails`, or what else became of it."""
    # The whole workspace, so that each crate is built once and not once for each choice of features.
    where = ["--lib"] if test.target == "lib" else ["--test", test.target]
    command = ["cargo", "test", "--quiet", "--workspace", *where]
    built = cargo([*command, "--no-run"], options)
    if built.returncode:
        return f"DOES NOT COMPILE:\n{last_lines(built.stderr)}"
    try:
        ran = cargo([*command, "--", "--exact", test.name], options, PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"HANGS for {PATIENCE_SECONDS} s"
    counted = re.findall(r"test result: \w+\. (\d+) passed; (\d+) failed", ran.stdout)
    counts = tuple(sum(map(int, column)) for column in zip(*counted))
    known = {(1, 0): "passes", (0, 1): "fails"}
    return known.get(counts, f"RAN NO TEST {test.name}:\n{last_lines(ran.stdout + ran.stderr)}")


def cargo(command, options, timeout=None):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(options.target_dir.resolve())}
    return subprocess.run(
        command, cwd=COPY, env=environment, timeout=timeout, capture_output=True, text=True
    )


def last_lines(text):
    return "\n".join(text.strip().splitlines()[-12:])


def copy_sources():
    """What is committed, as a work tree of its own: cargo sees the time of each file that changes."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    if not (COPY / ".git").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        subprocess.run([*git, "worktree", "prune"], check=True)
        subprocess.run([*git, "worktree", "add", "--detach", str(COPY), head], check=True)
    subprocess.run(["git", "-C", str(COPY), "checkout", "--force", "--detach", head], check=True)


def write_table(rows, count):
    held = sum(result == "held" for _, result, _ in rows)
    today = datetime.date.today().isoformat()
    left = f"; the run was stopped before the other {count - len(rows)}" if len(rows) < count else ""
    lines = [
        "# Guards that were taken out, and the test that noticed",
        "",
        f"`python3 tests/mutations/run.py`, {today}: {held} of {len(rows)} held{left}.",
        "",
        "| without this | in | fails | |",
        "|---|---|---|---|",
    ]
    for guard, result, _ in rows:
        result = result.splitlines()[0]
        lines.append(f"| {guard.name} | `{guard.file}` | `{guard.test.name}` | {result} |")
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
