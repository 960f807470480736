"""A local cloud for the CI scripts: started for them, and gone with them however they end."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Cloud:
    """`cargo local` of one instance, on free ports."""

    def __init__(self, instance, *options):
        self.instance, self.options = instance, options

    def local(self, *arguments):
        command = ["cargo", "local", "--instance", self.instance, *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()

    def token(self, role):
        return self.local("token", "--role", role)

    def __enter__(self):
        up = ["up", "--detach", "--json", "--no-demo", "--port", "0", "--while-pid", str(os.getpid())]
        self.addresses = json.loads(self.local(*up, *self.options))
        return self

    def __exit__(self, *_):
        self.local("down")


def run(main):
    """Runs `main`. Where nobody reads any more (`| head`), it ends quietly, after what it has to clean up."""
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
