"""Function processes: what they see, and that they end with the cloud, however it ends."""

import ctypes
import signal
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

from ministack.core import lambda_runtime

PR_SET_PDEATHSIG = 1


def die_with_the_cloud():
    """Makes the kernel kill a function when the cloud dies without a chance to stop it (Linux).

    The kernel means the *thread* that started the process, so one thread, which lives as long as
    the cloud, starts them all.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="function-starter")

    def ask_to_be_killed():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def start(*arguments, **options):
        options["preexec_fn"] = ask_to_be_killed
        return starter.submit(subprocess.Popen, *arguments, **options).result()

    lambda_runtime.subprocess = types.SimpleNamespace(
        Popen=start,
        PIPE=subprocess.PIPE,
        STDOUT=subprocess.STDOUT,
        DEVNULL=subprocess.DEVNULL,
    )


def stop_all():
    """Kills every function and lets none start again."""

    def refuse(*_, **__):
        raise RuntimeError("the cloud is stopping")

    lambda_runtime.subprocess = types.SimpleNamespace(
        Popen=refuse, PIPE=None, STDOUT=None, DEVNULL=None
    )
    with lambda_runtime._lock:
        processes = [worker._proc for pool in lambda_runtime._workers.values() for worker in pool]
    for process in processes:
        if process is not None:
            process.kill()
            process.wait()
