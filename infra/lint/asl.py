"""Lints the state machine: asl-validator, statelint, and that it is fit for EXPRESS and STANDARD.

Usage: python infra/lint/asl.py [DEFINITION]
asl-validator comes from npm: `bash .ci/run tools` puts it under target/ci/npm.
"""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASL_VALIDATOR = ROOT / "target/ci/npm/node_modules/.bin/asl-validator"
FILLED = ROOT / "target/lint/definition.asl.json"

# https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
EXPRESS_SECONDS = 300
STANDARD_ONLY = (".sync", ".sync:2", ".waitForTaskToken")


def main(path=ROOT / "infra/saga.asl.json"):
    if not ASL_VALIDATOR.exists():
        sys.exit("asl-validator is not installed: run `bash .ci/run tools` first")
    found = lint(Path(path).read_text())
    for finding in found:
        print(f"{path}: {finding}", file=sys.stderr)
    if found:
        sys.exit(f"{path}: {len(found)} findings")
    print(f"{path}: fine")


def lint(text):
    """The findings, one line each."""
    FILLED.parent.mkdir(parents=True, exist_ok=True)
    FILLED.write_text(filled(text))
    try:
        machine = json.loads(FILLED.read_text())
    except ValueError as error:
        return [f"is not JSON: {error}"]
    found = refusal("asl-validator", [str(ASL_VALIDATOR), "--json-path", str(FILLED)])
    # JSON knows one kind of number: statelint need not ask for 2.0 where 2 stands.
    statelint = [sys.executable, "-m", "statelint", "--ignore=FLOAT", str(FILLED)]
    found += refusal("statelint", statelint)
    return found + list(both_types(machine))


def filled(text):
    """The definition with an ARN in place of every substitution that the template makes."""
    return re.sub(r"\$\{(\w+)\}", r"arn:aws:lambda:us-east-1:123456789012:function:\1", text)


def refusal(linter, command):
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode == 0:
        return []
    return [f"{linter}: {(result.stdout + result.stderr).strip()}"]


def both_types(machine):
    """Why the machine could not run as EXPRESS, or would hang as STANDARD."""
    if not 0 < machine.get("TimeoutSeconds", 0) <= EXPRESS_SECONDS:
        yield f"set TimeoutSeconds of the machine, at most the {EXPRESS_SECONDS} of EXPRESS"
    for name, state in states(machine):
        if state["Type"] == "Task":
            resource = state.get("Resource", "")
            if resource.endswith(STANDARD_ONLY) or ":activity:" in resource:
                yield f"{name}: {resource} exists in STANDARD only"
            if "TimeoutSeconds" not in state:
                yield f"{name}: set TimeoutSeconds, or a task that hangs holds its order up"
        if state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            yield f"{name}: a distributed Map exists in STANDARD only"
        if state["Type"] == "Wait" and state.get("Seconds", 0) > EXPRESS_SECONDS:
            yield f"{name}: an EXPRESS execution ends before this wait does"


def states(machine):
    for name, state in machine.get("States", {}).items():
        yield name, state
        for inner in (
            *state.get("Branches", []),
            state.get("ItemProcessor", {}),
            state.get("Iterator", {}),
        ):
            yield from states(inner)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    main(*sys.argv[1:])
