"""Failures on demand: functions and AWS calls that fail for the events and requests a test names.

    POST   /_trackops/faults       {"target": ..., ...}  ->  201 {"id": ...}
    GET    /_trackops/faults       all faults, with `hits` so far
    DELETE /_trackops/faults/{id}

Every fault has `contains`, a text the event or request must hold (default: any; name an id and not
`"id":"..."`, because quotes are escaped in JSON inside JSON), and `times`, how often it strikes
(default 1, -1: until deleted). By target:

    lambda      `function`: the end of its name; `when`: "before", it does not run, "after", it runs
                and its answer is lost, or "during", its processes are killed `afterMilliseconds`
                (default 0) into the invocation; `errorType` (default "Injected")
    aws         `action`: X-Amz-Target (or Action); `when`: "before", or "after", it is performed
                and then fails; `status` (default 400), `errorType`, `body` (the whole error, JSON)
    put-events  entries that hold the text fail with `errorCode` (default "ThrottlingException")
"""

import asyncio
import base64
import dataclasses
import json
import threading
import uuid
from typing import Any, Optional
from urllib.parse import parse_qs

import functions
from ministack.services import lambda_svc

PATH = "/_trackops/faults"
PUT_EVENTS = "AWSEvents.PutEvents"


@dataclasses.dataclass
class Fault:
    target: str
    contains: str = ""
    times: int = 1
    when: str = "before"
    function: str = ""
    action: str = ""
    status: int = 400
    errorType: str = "Injected"
    errorCode: str = "ThrottlingException"
    afterMilliseconds: int = 0
    body: Optional[Any] = None
    hits: int = 0
    id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    def problem(self):
        """What the caller must change, if anything."""
        if self.target not in ("lambda", "aws", "put-events"):
            return "target must be lambda, aws or put-events"
        if self.when not in ("before", "after", "during"):
            return "when must be before, after or during"
        if self.when == "during" and self.target != "lambda":
            return "only a lambda fault strikes during"
        if self.target == "lambda" and not self.function:
            return "a lambda fault needs function"
        if self.target == "aws" and not self.action:
            return "an aws fault needs action"
        if not isinstance(self.times, int) or self.times < -1 or self.times == 0:
            return "times must be a count, or -1 for until deleted"
        return None


class Faults:
    """All faults, shared by the event loop and the threads that run functions."""

    def __init__(self):
        self.lock = threading.Lock()
        self.faults = {}

    def add(self, fault):
        with self.lock:
            self.faults[fault.id] = fault

    def remove(self, fault_id):
        with self.lock:
            return self.faults.pop(fault_id, None)

    def all(self):
        with self.lock:
            return [dataclasses.asdict(fault) for fault in self.faults.values()]

    def any_of(self, *targets):
        with self.lock:
            return any(fault.target in targets for fault in self.faults.values())

    def strike(self, target, text, matches=lambda fault: True):
        """The first fault due for this text, its hit counted; else None."""
        with self.lock:
            for fault in self.faults.values():
                due = fault.times == -1 or fault.hits < fault.times
                if due and fault.target == target and fault.contains in text and matches(fault):
                    fault.hits += 1
                    return fault
        return None


def install(app):
    """Adds the API to the cloud's ASGI app, and faults to its functions."""
    faults = Faults()
    make_functions_fail(faults)

    async def app_with_faults(scope, receive, send):
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if scope["path"].startswith(PATH):
            return await answer(send, *administer(faults, scope, await body_of(receive)))
        if not faults.any_of("aws", "put-events"):
            return await app(scope, receive, send)

        body = await body_of(receive)
        action = action_of(scope, body)
        text = body.decode("utf-8", "replace")
        fault = action and faults.strike("aws", text, lambda fault: fault.action == action)
        if fault:
            if fault.when == "after":
                await call(app, scope, body)
            return await answer(send, fault.status, *error_of(fault, scope))
        if action == PUT_EVENTS:
            return await put_events(faults, app, scope, body, send)
        await app(scope, replay(body, receive), send)

    return app_with_faults


def refuse(app):
    """The cloud without faults: the API is not there."""

    async def app_without_faults(scope, receive, send):
        if scope["type"] == "http" and scope["path"].startswith(PATH):
            return await answer(send, 404, {"message": "start the cloud with --faults"})
        await app(scope, receive, send)

    return app_without_faults


def administer(faults, scope, body):
    method, fault_id = scope["method"], scope["path"][len(PATH) :].strip("/")
    if method == "GET" and not fault_id:
        return 200, {"faults": faults.all()}
    if method == "DELETE" and fault_id:
        return (204, None) if faults.remove(fault_id) else (404, {"message": "no such fault"})
    if method != "POST" or fault_id:
        return 404, {"message": f"use POST or GET {PATH}, or DELETE {PATH}/<id>"}
    try:
        fault = Fault(**json.loads(body))
    except (TypeError, ValueError) as error:
        return 400, {"message": f"not a fault: {error}"}
    problem = fault.problem()
    if problem:
        return 400, {"message": problem}
    faults.add(fault)
    return 201, {"id": fault.id}


def make_functions_fail(faults):
    """Strikes where all invocations pass: of API Gateway, queues, streams, executions, callers."""
    original = lambda_svc._execute_function_dispatch

    def execute(func, config, event, request_id, started):
        name = config.get("FunctionName", "")
        fault = faults.strike(
            "lambda",
            text_of(event),
            lambda fault: name == fault.function or name.endswith(f"-{fault.function}"),
        )
        if fault is None:
            return original(func, config, event, request_id, started)
        if fault.when == "during":
            threading.Timer(fault.afterMilliseconds / 1000, functions.kill, [name]).start()
            return original(func, config, event, request_id, started)
        log = ""
        if fault.when == "after":
            log = original(func, config, event, request_id, started).get("log", "")
        error = {"errorType": fault.errorType, "errorMessage": f"injected fault {fault.id}"}
        return {"body": error, "error": True, "function_error": "Unhandled", "log": log}

    lambda_svc._execute_function_dispatch = execute


def text_of(event):
    """The event as text, records of topics with what their base64 says."""
    texts = [json.dumps(event, ensure_ascii=False)]
    if isinstance(event, dict) and event.get("eventSource") == "aws:kafka":
        records = [record for batch in event["records"].values() for record in batch]
        values = [base64.b64decode(record["value"] or "") for record in records]
        texts += [value.decode(errors="replace") for value in values]
    return "\n".join(texts)


async def put_events(faults, app, scope, body, send):
    """Delivers the entries no fault strikes, and answers for all of them in their order."""
    request = json.loads(body)
    struck = [faults.strike("put-events", json.dumps(entry)) for entry in request["Entries"]]
    request["Entries"] = [entry for entry, fault in zip(request["Entries"], struck) if not fault]
    answers = iter([])
    if request["Entries"]:
        status, delivered = await call(app, scope, json.dumps(request).encode())
        if status != 200:
            return await answer(send, status, json.loads(delivered))
        answers = iter(json.loads(delivered)["Entries"])
    entries = [put_events_failure(fault) if fault else next(answers) for fault in struck]
    failed = sum("ErrorCode" in entry for entry in entries)
    await answer(send, 200, {"FailedEntryCount": failed, "Entries": entries})


def put_events_failure(fault):
    return {"ErrorCode": fault.errorCode, "ErrorMessage": f"injected fault {fault.id}"}


def action_of(scope, body):
    target = header(scope, b"x-amz-target")
    if target or "urlencoded" not in header(scope, b"content-type"):
        return target
    return parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]


def error_of(fault, scope):
    """The error in the protocol of the request: JSON, or XML for a request with Action."""
    message = f"injected fault {fault.id}"
    if fault.body is not None:
        return fault.body, fault.errorType
    if header(scope, b"x-amz-target"):
        return {"__type": fault.errorType, "message": message}, fault.errorType
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{fault.errorType}</Code>"
        f"<Message>{message}</Message></Error><RequestId>{fault.id}</RequestId></ErrorResponse>",
        fault.errorType,
    )


def header(scope, name):
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def body_of(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def replay(body, receive=None):
    """A `receive` that gives the body once more, then what the client does next."""
    given = False

    async def again():
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await (receive() if receive else asyncio.Event().wait())

    return again


async def call(app, scope, body):
    """Performs the request; its status and body instead of sending them."""
    status, parts = None, []

    async def collect(message):
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
    headers.append((b"content-length", str(len(body)).encode()))
    await app({**scope, "headers": headers}, replay(body), collect)
    return status, b"".join(parts)


async def answer(send, status, content, error_type=None):
    xml = isinstance(content, str)
    body = b"" if content is None else content.encode() if xml else json.dumps(content).encode()
    headers = [
        (b"content-type", b"text/xml" if xml else b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if error_type:
        headers.append((b"x-amzn-errortype", error_type.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
