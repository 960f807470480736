"""Lets schemathesis make up requests from the OpenAPI documents and send them to a local cloud of its own.

No answer may be a server error or undocumented, and no invalid request may be accepted. What fails is printed
with the curl command that repeats it. FUZZ_SEED and FUZZ_EXAMPLES (per operation) make other and more requests.
"""

import os
import subprocess
import sys
from pathlib import Path

import schemathesis
from local import ROOT, Cloud, run

SEED = os.environ.get("FUZZ_SEED", "20261125")
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "12")
# Each API as those see it whom it treats differently; the last two take no token.
CALLERS = [
    ("orders", "operator"),
    ("orders", "customer"),
    ("inventory", "operator"),
    ("inventory", "customer"),
    ("payments", None),
    ("relay", None),
]


def fuzz(cloud, service, role):
    url = cloud.addresses[service]
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file", str(ROOT / "infra/openapi/schemathesis.toml"),
        "run", f"{url}/api/openapi.json", "--url", url,
        "--seed", SEED, "--max-examples", EXAMPLES, "--warnings", "off", "--no-color",
    ]
    if role:
        command += ["--header", f"Authorization: Bearer {cloud.token(role)}"]
    # One page is like the other.
    if service != "relay":
        command += ["--exclude-tag", "documents"]
    print(f"--- {service} as {role or 'anybody'}", flush=True)
    # It keeps notes where it runs.
    return subprocess.run(command, cwd=ROOT / "target/ci").returncode == 0


def main():
    print(f"seed {SEED}, {EXAMPLES} examples per operation")
    with Cloud("fuzz") as cloud:
        for service in {service for service, _ in CALLERS}:
            schemathesis.openapi.from_url(f"{cloud.addresses[service]}/api/openapi.json").validate()
        failed = [
            f"{service} as {role or 'anybody'}"
            for service, role in CALLERS
            if not fuzz(cloud, service, role)
        ]
    if failed:
        sys.exit(f"fuzz: {', '.join(failed)} failed")


run(main)
