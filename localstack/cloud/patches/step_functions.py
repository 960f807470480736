"""Step Functions."""

import inspect

from ministack.services import stepfunctions


def apply():
    start_at_once()


def start_at_once():
    """An execution on AWS enters its first state within some ten milliseconds.

    ministack sleeps 150 ms before it does.
    """
    pause = "    time.sleep(0.15)\n"
    source = inspect.getsource(stepfunctions._run_execution)
    if source.count(pause) != 1:
        raise RuntimeError("_run_execution no longer sleeps before it starts: delete this patch")
    exec(source.replace(pause, ""), vars(stepfunctions))
