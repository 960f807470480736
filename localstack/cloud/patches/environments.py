"""Execution environments: the processes that functions run in."""

import os
import threading
from collections import defaultdict
from pathlib import Path

from ministack.core.lambda_runtime import ProvidedWorker
from ministack.services import lambda_svc

# Of one function. More would only wait for each other's processor time.
MOST_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))

_free = defaultdict(lambda: threading.BoundedSemaphore(MOST_AT_ONCE))
_lock = threading.Lock()
# Of the invocation that this thread makes.
_used = threading.local()


def apply():
    wait_for_a_free_environment()
    report_a_functions_own_memory()


def wait_for_a_free_environment():
    """AWS runs each concurrent invocation in an environment of its own, on as many machines as it takes.

    One machine does not grow: ministack starts a process for each of two hundred invocations at
    once, and all of them time out together. Here an invocation waits for a free environment once
    its function has as many as the processors can use. A function that invokes itself would wait
    for itself; none of ours does.
    """
    original = lambda_svc._execute_function_provided_warm

    def execute(func, event, request_id):
        config = func.get("config") or func
        with _lock:
            free = _free[config.get("FunctionArn")]
        with free:
            return original(func, event, request_id)

    lambda_svc._execute_function_provided_warm = execute


def report_a_functions_own_memory():
    """The REPORT line of an invocation has the most memory that its environment has used so far.

    ministack tells the most that any process had that the cloud ever started and that has ended,
    so 594 MB of 256 for a function with a tenth of it.
    """
    original = ProvidedWorker.invoke

    def invoke(self, *arguments, **options):
        _used.megabytes = 0
        try:
            return original(self, *arguments, **options)
        finally:
            if self._proc is not None:
                _used.megabytes = peak_megabytes(self._proc.pid)

    ProvidedWorker.invoke = invoke
    lambda_svc._probe_peak_memory_mb = lambda func: getattr(_used, "megabytes", 0)


def peak_megabytes(pid):
    """The largest resident set of the process (proc_pid_status(5)), rounded up; 0 when it has ended, or without /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return -(-int(peaks[0]) // 1024) if peaks else 0
