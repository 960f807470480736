"""Lints template.yaml as CloudFormation sees it: SAM transform, then cfn-lint and our rules.

Linting the SAM template itself misses what is wrong inside its functions, roles and events.
Usage: python infra/lint/template.py [TEMPLATE]
"""

import json
import logging
import os
import re
import signal
import sys
from pathlib import Path

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from cfnlint.api import lint_file
from cfnlint.decode import decode
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform

import rules

# SAM warns of metrics and feature toggles of its own. What is wrong with a template, it raises.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

ROOT = Path(__file__).resolve().parents[2]
TRANSFORMED = ROOT / "target/lint/template.json"


def main(path=ROOT / "template.yaml"):
    found = lint(Path(path))
    for finding in found:
        print(finding, file=sys.stderr)
    if found:
        sys.exit(f"{path}: {len(found)} findings")
    print(f"{path}: fine, and so is its transformed form {os.path.relpath(TRANSFORMED)}")


def lint(path):
    """The findings, one line each."""
    decoded, errors = decode(str(path))
    if errors:
        return [f"{path}:{error.linenumber}: {error.message}" for error in errors]
    source = json.loads(json.dumps(decoded))
    found = [f"{path}: {name} {text}" for name, text in source_findings(source, path.parent)]
    try:
        transformed = as_deployed(source)
    except InvalidDocumentException as error:
        return found + [f"{path}: {cause.message}" for cause in error.causes]
    TRANSFORMED.parent.mkdir(parents=True, exist_ok=True)
    TRANSFORMED.write_text(json.dumps(transformed, indent=2))
    found += [
        f"{TRANSFORMED}:{match.linenumber}: {match.rule.id} {match.message}"
        for match in lint_file(TRANSFORMED)
    ]
    return found + [f"{path}: {name} {text}" for name, text in rules.findings(transformed)]


def source_findings(source, folder):
    """What only the SAM form still shows."""
    for name, resource in source["Resources"].items():
        values = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Serverless::Function" if not values.keys() & {"Policies", "Role"}:
                yield name, "says nothing of its rights: add Policies, [] if it needs none"
            case "AWS::Serverless::StateMachine" if isinstance(values.get("DefinitionUri"), str):
                definition = (folder / values["DefinitionUri"]).read_text()
                asked = set(re.findall(r"\$\{(\w+)\}", definition))
                odd = asked ^ values.get("DefinitionSubstitutions", {}).keys()
                if odd:
                    yield name, f"and its definition disagree on the substitutions {sorted(odd)}"


def as_deployed(source, **parameters):
    """The template as CloudFormation gets it from SAM, which looks at some of the parameters."""
    # The translator asks IAM for managed policies by name; ours are statements.
    return transform(packaged(source), parameters, ManagedPolicyLoader(None))


def packaged(source):
    """The template after `sam package`: what points to a local file points to S3."""
    uris = {
        "AWS::Serverless::Function": ("CodeUri", "s3://packaged/function.zip"),
        "AWS::Serverless::StateMachine": ("DefinitionUri", "s3://packaged/definition.json"),
    }
    for resource in source["Resources"].values():
        if resource["Type"] in uris:
            key, uri = uris[resource["Type"]]
            resource.setdefault("Properties", {})[key] = uri
    return source


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    main(*sys.argv[1:])
