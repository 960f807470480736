"""Refuses what web pages send: every page in a developer's browser can reach a port of 127.0.0.1.

A page of another origin may send requests, though it cannot read the answers. That is enough to create
a function here and run it. A page whose own name leads to 127.0.0.1 (DNS rebinding) could read the
answers too. Three headers tell where a request comes from. Programs send only `Host`, and it names
this machine. `src/guard.rs` has the same rules for the runner's own ports; `guard_cases.json` is
tested against both.
"""

import http.server
import json

HOST = (
    "The Host header was refused: it must be 127.0.0.1, [::1], localhost or a name that ends in"
    " .localhost, because a web page can make any other name lead to this machine."
)
ORIGIN = (
    "The Origin header was refused: a web page of another origin may not use the local cloud. Only the"
    " origin of the parameter CorsOrigin may call the APIs."
)
SITE = (
    "The Sec-Fetch-Site header was refused: a web page of another site or port made this request."
    " Type the address, or paste it, instead of following a link."
)

# Below it are the APIs that were deployed; what is elsewhere is AWS's own.
APIS = "/_aws/execute-api/"


def refusal(headers, may_call=lambda origin: False):
    """Why a request with these headers, names in lower case, is refused; None if it is not.

    `may_call` says of an origin whether the user lets its pages call what is asked.
    """

    def values(name):
        return [value.strip().lower() for key, value in headers if key == name]

    hosts, origins, sites = map(values, ("host", "origin", "sec-fetch-site"))
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        return HOST
    if len(origins) == 1 and may_call(origins[0]):
        return None
    if any(origin != f"http://{hosts[0]}" for origin in origins):
        return ORIGIN
    if any(site not in ("none", "same-origin") for site in sites):
        return SITE
    return None


def is_loopback(host):
    """Whether a Host header, in lower case, is a name that no DNS server is asked for."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "0"
    if not (port.isascii() and port.isdigit()):
        return False
    return name in ("127.0.0.1", "[::1]", "localhost") or name.endswith(".localhost")


def install(app, apis=None):
    """The cloud behind the guard, and the Runtime API of every function too.

    `apis` is the file in which the runner names the origin that may call the APIs, if there is one.
    """
    guard_http_servers()

    def may_call_apis(origin):
        try:
            allowed = json.loads(apis.read_text()).get("origin") if apis else None
        except FileNotFoundError:
            return False  # nothing is deployed yet
        return bool(allowed) and origin == allowed.lower()

    async def guarded(scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await app(scope, receive, send)
        calls_api = scope["path"].startswith(APIS)
        reason = refusal(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            lambda origin: calls_api and may_call_apis(origin),
        )
        if reason is None:
            return await app(scope, receive, without_wildcard(send))
        await refuse(scope, receive, send, reason)

    return guarded


def without_wildcard(send):
    """ministack lets every page read every answer; what an API says by itself stays."""

    async def send_without(message):
        headers = message.get("headers", [])
        if any(is_cors(name, b"allow-origin") and value == b"*" for name, value in headers):
            kept = [(name, value) for name, value in headers if not is_cors(name)]
            message = {**message, "headers": kept}
        await send(message)

    return send_without


def is_cors(name, what=b""):
    return name.lower().startswith(b"access-control-" + what)


async def refuse(scope, receive, send, reason):
    if scope["type"] == "websocket":
        await receive()
        # The server answers the handshake with a 403.
        return await send({"type": "websocket.close", "code": 1008, "reason": reason})
    body = json.dumps({"message": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def guard_http_servers():
    """The Runtime API, from which a function fetches its events, has a port for each function."""
    handler = http.server.BaseHTTPRequestHandler
    parse = handler.parse_request

    def parse_request(self):
        if not parse(self):
            return False
        reason = refusal([(name.lower(), value) for name, value in self.headers.items()])
        if reason is None:
            return True
        self.close_connection = True
        self.send_error(403, explain=reason)
        return False

    handler.parse_request = parse_request
