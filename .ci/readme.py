"""Runs the README as a newcomer would: `cargo local up`, then every other `sh` block, then Ctrl-C.

Blocks marked `sh aws` need an AWS account and are not run; `cargo test` is a CI step of its own.
"""

import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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
            print(line, end="", flush=True)
            if line.startswith("TrackOps is up"):
                ready.set()
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


def main():
    commands = blocks()
    assert commands[:2] == ["cargo local up", "cargo test"], "the README starts with its two commands"
    up = start()
    try:
        for block in commands[2:]:
            print(f"--- {block}", flush=True)
            subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, check=True)
    finally:
        stop(up)
    for port in PORTS:
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on port {port}"
    print(f"README: {len(commands) - 1} blocks did what they say")


main()
