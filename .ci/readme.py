"""Runs the README as a newcomer would: `cargo local up`, then every other `sh` block, then Ctrl-C.

Each block runs twice, because people do that, and each time what it orders is another order. Blocks marked `sh aws`
need an AWS account and are not run; `cargo test` is a CI step of its own.
"""

import re
import signal
import socket
import subprocess
import sys
import threading

from local import ROOT, run

UP_DEADLINE = 900  # seconds; a first build takes minutes
STOP_DEADLINE = 30
PORTS = [4566, 8080, 8081, 8082, 8083, 8084]


def blocks():
    text = (ROOT / "README.md").read_text()
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)]


def start():
    up = subprocess.Popen(["cargo", "local", "up"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ready = threading.Event()

    def read():
        for line in up.stdout:
            if line.startswith("TrackOps is up"):
                ready.set()
            try:
                print(line, end="", flush=True)
            except BrokenPipeError:
                pass  # the main thread meets it too, and ends
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(UP_DEADLINE) or up.poll() is not None:
        stop(up)
        sys.exit("`cargo local up` did not get the system up")
    return up


def stop(up):
    up.send_signal(signal.SIGINT)
    try:
        up.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        up.kill()
        sys.exit(f"`cargo local up` did not stop within {STOP_DEADLINE} s of Ctrl-C")


def orders_of(block):
    """The orders that a block's answers are about."""
    print(f"--- {block}", flush=True)
    command = ["bash", "-euo", "pipefail", "-c", block]
    said = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    print(said.stdout, flush=True)
    if said.returncode:
        sys.exit(f"it ended with {said.returncode}")
    return set(re.findall(r'"orderId":\s*"([^"]+)"', said.stdout))


def main():
    commands = blocks()
    assert commands[:2] == ["cargo local up", "cargo test"], "the README starts with its two commands"
    up = start()
    try:
        for block in commands[2:]:
            first, second = orders_of(block), orders_of(block)
            if "-d '{\"items\"" in block:
                assert len(first) == len(second) == 1, f"{first}, {second}: one order a run"
                assert first != second, f"the second run answers with the order of the first: {first}"
    finally:
        stop(up)
    for port in PORTS:
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on port {port}"
    print(f"README: {len(commands) - 1} blocks did what they say, twice")


run(main)
