"""Function processes: what they see, and that they end with the cloud, however it ends."""

import ctypes
import signal
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

from ministack.core import lambda_runtime

PR_SET_PDEATHSIG = 1


def start_as_on_aws(hidden):
    """Starts functions without the variables named in `hidden`, which ministack would hand down.

    On Linux the kernel kills them when the cloud dies without a chance to stop them. It means the
    *thread* that started the process, so one thread, which lives as long as the cloud, starts all.
    """
    starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="function-starter")
    libc = ctypes.CDLL(None)

    def ask_to_be_killed():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def start(arguments, *, env, **options):
        env = {name: value for name, value in env.items() if name not in hidden}
        env["AWS_LAMBDA_LOG_GROUP_NAME"] = f"/aws/lambda/{env['AWS_LAMBDA_FUNCTION_NAME']}"
        if sys.platform == "linux":
            options["preexec_fn"] = ask_to_be_killed
        return starter.submit(subprocess.Popen, arguments, env=env, **options).result()

    start_with(start)


def stop_all():
    """Kills every function and lets none start again."""

    def refuse(*_, **__):
        raise OSError("the cloud is stopping")

    start_with(refuse)
    for process in processes():
        process.kill()
        process.wait()


def kill(name):
    """Kills the processes of one function, whatever they are doing."""
    for process in processes(lambda worker: worker.func_name == name):
        process.kill()


def processes(of=lambda worker: True):
    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
    return [worker._proc for worker in workers if worker._proc is not None and of(worker)]


def start_with(popen):
    lambda_runtime.subprocess = types.SimpleNamespace(
        Popen=popen,
        PIPE=subprocess.PIPE,
        STDOUT=subprocess.STDOUT,
        DEVNULL=subprocess.DEVNULL,
    )
