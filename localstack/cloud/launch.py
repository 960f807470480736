#!/usr/bin/env python3
"""Starts the local cloud: the pinned ministack, patched to be nearer to AWS, on 127.0.0.1 only.

    python launch.py --port 4566 --state-dir target/local/default/cloud

Ready when GET /_ministack/ready answers 200. SIGTERM or SIGINT stops it and every function it
started, and writes its state into the state directory, from which the next start continues. What a
web page sends is refused (guard.py).
Needs the packages of requirements.txt.
"""

import argparse
import asyncio
import logging
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

REGION = "eu-central-1"
ACCOUNT = "000000000000"


def arguments():
    parser = argparse.ArgumentParser(
        description="The local cloud: ministack, patched to be nearer to AWS, on 127.0.0.1 only."
    )
    parser.add_argument("--port", type=int, default=4566, help="port to listen on (default: 4566)")
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="where state is kept between two starts"
    )
    parser.add_argument("--region", default=REGION, help=f"AWS region to be (default: {REGION})")
    parser.add_argument(
        "--faults", action="store_true", help="enable the fault injection API at /_trackops/faults"
    )
    parser.add_argument(
        "--apis", type=Path, help="JSON file whose `origin` names the web pages that may call the APIs"
    )
    parser.add_argument(
        "--parent-pid", type=int, help="stop when the process with this id is gone (for tests)"
    )
    parser.add_argument(
        "--log-level",
        default="WARNING",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="of the cloud itself; functions log to CloudWatch (default: WARNING)",
    )
    parser.add_argument(
        "--unpatched",
        action="store_true",
        help="run ministack as it is, to test what a patch changes",
    )
    return parser.parse_args()


def settings(options):
    """What ministack wants to know; functions do not see it."""
    state = options.state_dir.resolve()
    return {
        "GATEWAY_PORT": str(options.port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": options.region,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        # AWS's own default; ministack's depends on the machine's memory.
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It must not go looking for a Docker.
        "DOCKER_HOST": f"unix://{state}/no-docker.sock",
    }


def clean_environment(options):
    """Replaces this process's environment, because ministack hands its own down to every function.

    Must run before ministack is imported, because its modules read these variables on import.
    """
    os.environ.clear()
    os.environ.update(
        settings(options),
        # What functions see on AWS, with the address of this cloud.
        PATH="/usr/local/bin:/usr/bin:/bin:/opt/bin",
        LANG="en_US.UTF-8",
        TZ=":UTC",
        AWS_DEFAULT_REGION=options.region,
        AWS_ACCESS_KEY_ID=ACCOUNT,
        AWS_SECRET_ACCESS_KEY="local",
        AWS_SESSION_TOKEN="local",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{options.port}",
    )
    # ministack unpacks functions here; functions themselves keep /tmp, as on AWS.
    temporary = options.state_dir.resolve() / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(temporary)


def refuse_taken_port(port):
    """Ends the process if the port cannot be had: whatever answers there is another cloud."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(
                f"launch.py: port {port} cannot be used ({error.strerror}): pass another --port"
            )


def wait_for_end(pid):
    """Returns when the process is gone; at once if it never was."""
    if not hasattr(os, "pidfd_open"):  # not Linux
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.2)
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([process], [], [])


async def serve(options, app, before_stop):
    """Serves until it is told to stop, then calls `before_stop` and lets open requests end."""
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    if options.parent_pid:

        def follow_parent():
            wait_for_end(options.parent_pid)
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=follow_parent, daemon=True).start()

    async def told_to_stop():
        await stop.wait()
        before_stop()

    config = Config()
    config.bind = [f"127.0.0.1:{options.port}"]
    config.loglevel = options.log_level
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5  # long polls of clients that are about to go too
    config.backlog = 1024
    await hypercorn_serve(app, config, shutdown_trigger=told_to_stop)


def main():
    options = arguments()
    refuse_taken_port(options.port)
    clean_environment(options)

    # Before ministack sets up logging itself.
    logging.basicConfig(
        level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for library in ("kms", "samtranslator.metrics.metrics"):
        logging.getLogger(library).setLevel(logging.ERROR)  # warn about what is not used here

    from ministack.app import app

    import faults
    import functions
    import guard
    import patches

    functions.start_as_on_aws(hidden=settings(options))
    if not options.unpatched:
        patches.apply()
    app = faults.install(app) if options.faults else faults.refuse(app)
    app = guard.install(app, options.apis)

    # Functions go first: a request that waits for one would hold up the end until it answers.
    asyncio.run(serve(options, app, before_stop=functions.stop_all))
    # Threads may still be about; nothing is left that is worth waiting for.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
