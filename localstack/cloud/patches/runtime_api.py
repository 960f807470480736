"""The Runtime API, from which a function fetches its next event."""

from http.server import BaseHTTPRequestHandler

from ministack.core.lambda_runtime import Worker


def apply():
    send_at_once()
    wait_less_for_logs()


def send_at_once():
    """A warm function on AWS has its event within a millisecond.

    ministack's Runtime API writes head and body apart, so Nagle's algorithm holds the body back
    until the function's delayed acknowledgement, 40 ms later.
    """
    BaseHTTPRequestHandler.disable_nagle_algorithm = True


def wait_less_for_logs():
    """AWS collects logs beside the invocation; the caller never waits for them.

    ministack waits 50 ms for a first line, so a function that logs nothing takes that much longer.
    A line that comes later than this shorter wait is stored with the next invocation's lines.
    """
    original = Worker._drain_stderr_bounded

    def drain(self, first_line_wait=0.001, idle_confirm=0.001, hard_cap=0.02):
        return original(self, first_line_wait, idle_confirm, hard_cap)

    Worker._drain_stderr_bounded = drain
