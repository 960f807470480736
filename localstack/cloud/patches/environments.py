"""Execution environments: the processes that functions run in."""

import os
import threading
from collections import defaultdict

from ministack.services import lambda_svc

# Of one function. More would only wait for each other's processor time.
MOST_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))

_free = defaultdict(lambda: threading.BoundedSemaphore(MOST_AT_ONCE))
_lock = threading.Lock()


def apply():
    wait_for_a_free_environment()


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
