"""Generates clients from the OpenAPI documents, has their types checked, and places an order with each.

A generator that leaves out an answer fails. infra/openapi/clients/ has what uses them.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from local import ROOT, Cloud, run

SOURCES = ROOT / "infra/openapi/clients"
NPM = ROOT / "target/ci/npm"
# Below the packages of npm, so that Node finds them.
OUT = NPM / "clients"
SERVICES = ["orders", "inventory", "payments", "relay"]


def tool(name):
    return str(OUT.parent.parent / "venv/bin" / name)


def call(*command, **options):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def python_client(service):
    config = OUT / "openapi-python-client.yaml"
    config.write_text("post_hooks: []\n")
    call(
        tool("openapi-python-client"), "generate", "--path", OUT / f"{service}.json", "--config", config,
        "--meta", "none", "--output-path", OUT / "python_client" / service, "--fail-on-warning",
    )


def generator(service):
    said = call(
        tool("openapi-generator-cli"), "generate", "-i", OUT / f"{service}.json", "-g", "python",
        "-o", OUT / "generator" / service, "--package-name", f"generator_{service}",
        "--global-property", "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false",
    )
    if " ERROR " in said:
        sys.exit(said)


def typescript(service):
    call("node", NPM / "node_modules/openapi-typescript/bin/cli.js", OUT / f"{service}.json", "-o", OUT / f"{service}.ts")


def check_types():
    python_path = os.pathsep.join(str(OUT / path) for path in ["", *(f"generator/{s}" for s in SERVICES)])
    environment = {**os.environ, "PYTHONPATH": python_path, "MYPYPATH": python_path}
    packages = ["python_client", *(f"generator_{service}" for service in SERVICES)]
    strict = ["--strict", "--allow-untyped-calls", "--implicit-reexport"]
    options = ["--cache-dir", OUT / "mypy", "--explicit-package-bases", "--namespace-packages"]
    call(tool("mypy"), *options, *(f"--package={name}" for name in packages), env=environment, cwd=OUT)
    for script in sorted(SOURCES.glob("*.py")):
        call(tool("mypy"), *options, *strict, "--follow-imports=silent", script, env=environment, cwd=OUT)
    (OUT / "package.json").write_text('{"type": "module"}\n')
    shutil.copy(SOURCES / "openapi_typescript.ts", OUT)
    options = {"strict": True, "target": "es2022", "module": "nodenext", "lib": ["es2022", "dom"], "types": [], "outDir": "js"}
    (OUT / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts"]}))
    call("node", NPM / "node_modules/typescript/bin/tsc", "--project", OUT)
    return environment


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "python_client").mkdir(parents=True)
    (OUT / "python_client/__init__.py").touch()
    with Cloud("clients") as cloud:
        for service in SERVICES:
            urllib.request.urlretrieve(f"{cloud.addresses[service]}/api/openapi.json", OUT / f"{service}.json")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for made in [pool.submit(make, service) for make in (python_client, generator, typescript) for service in SERVICES]:
                made.result()
        environment = check_types()
        environment |= {
            "ORDERS_URL": cloud.addresses["orders"],
            "CUSTOMER_TOKEN": cloud.token("customer"),
            "TOKEN": cloud.token("operator"),
        }
        for script in sorted(SOURCES.glob("*.py")):
            print(call(sys.executable, script, env=environment), end="", flush=True)
        print(call("node", OUT / "js/openapi_typescript.js", env=environment), end="", flush=True)


run(main)
