"""Lints infra/asyncapi.yaml: AsyncAPI 3.0, references that lead somewhere, dates of old and new versions.

Usage: python infra/lint/asyncapi.py [DOCUMENT]
AsyncAPI's own schema comes from npm: `bash .ci/run tools` puts it under target/ci/npm.
"""

import json
import signal
import sys
from datetime import date, timedelta
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
SPECIFICATION = ROOT / "target/ci/npm/node_modules/@asyncapi/specs/schemas/3.0.0.json"

# What readers get between a new version's announcement and its first event.
NOTICE = timedelta(days=90)


def main(path=ROOT / "infra/asyncapi.yaml"):
    if not SPECIFICATION.exists():
        sys.exit("@asyncapi/specs is not installed: run `bash .ci/run tools` first")
    path = Path(path)
    found = lint(path.read_text(), path.parent)
    for finding in found:
        print(f"{path}: {finding}", file=sys.stderr)
    if found:
        sys.exit(f"{path}: {len(found)} findings")
    print(f"{path}: fine")


def lint(text, folder):
    """The findings, one line each. Files that are referred to are looked for in `folder`."""
    document = yaml.safe_load(text)
    # In JSON a date is its text.
    as_json = json.loads(json.dumps(document, default=str))
    validator = jsonschema.Draft7Validator(json.loads(SPECIFICATION.read_text()))
    found = [
        f"{error.json_path}: {jsonschema.exceptions.best_match([error]).message}"
        for error in validator.iter_errors(as_json)
    ]
    return found + list(dangling(document, document, folder)) + list(undated(document))


def dangling(value, document, folder):
    """References that lead nowhere."""
    if isinstance(value, list):
        for item in value:
            yield from dangling(item, document, folder)
    elif isinstance(value, dict):
        target = value.get("$ref")
        if target is not None and not leads_somewhere(target, document, folder):
            yield f"{target} leads nowhere"
        for item in value.values():
            yield from dangling(item, document, folder)


def leads_somewhere(target, document, folder):
    file, _, pointer = target.partition("#")
    if file:
        return (folder / file).is_file()
    place = document
    for key in pointer.strip("/").split("/"):
        if key not in place:
            return False
        place = place[key]
    return True


def undated(document):
    """Versions after the first whose readers do not know when they come, or came too suddenly."""
    messages = document["components"]["messages"]
    for name, message in messages.items():
        kind, _, version = name.rpartition(".v")
        before = messages.get(f"{kind}.v{int(version) - 1}")
        if before is None:
            continue
        announced, since = message.get("x-announced"), message.get("x-published-from")
        if not isinstance(announced, date) or not isinstance(since, date):
            yield f"{name}: set x-announced and x-published-from, each a date"
        elif since - announced < NOTICE:
            yield f"{name}: is published less than {NOTICE.days} days after it was announced"
        elif before.get("x-published-until") != since:
            yield f"{kind}.v{int(version) - 1}: set x-published-until to {since}, when {name} begins"


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    main(*sys.argv[1:])
