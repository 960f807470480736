"""Runs the runbooks' commands on a local cloud that has the trouble which most of them are about.

A runbook's `sh` blocks run in one shell, behind those of docs/runbooks/README.md; `NAME=...` in them is what
the reader fills in. Blocks marked `sh aws` cannot run there.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import urllib.request

from local import ROOT, Cloud, run

RUNBOOKS = ROOT / "docs/runbooks"
INSTANCE = "runbooks"
DEADLINE = 60  # seconds

# What a reader takes from the answer of an earlier step: step 2 of dead-letters.md hides the message for 30 seconds.
HANDLE = """'"$(for _ in $(seq 60); do
  handle=$(aws sqs receive-message --queue-url $(url StartSagaDeadLetters) --query 'Messages[0].ReceiptHandle' --output text)
  if [ "$handle" != None ]; then echo "$handle"; break; fi
  sleep 1
done)"'"""


def blocks(name):
    text = (RUNBOOKS / name).read_text()
    return [textwrap.dedent(block) for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S)]


def setup():
    return [block.replace("cargo local env", f"cargo local --instance {INSTANCE} env") for block in blocks("README.md")]


def shell(commands):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(setup() + commands)], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, flush=True)
    if done.returncode:
        sys.exit(f"it ended with {done.returncode}")
    return done.stdout


def follow(name, expected, **filled_in):
    """Runs a runbook; its output has what a reader is to find there."""
    commands = blocks(name)
    for variable, values in filled_in.items():
        values = iter(values)
        blank = re.compile(rf"^{variable}=\S*\.\.\.\S*$", re.M)
        commands = [blank.sub(lambda _: f"{variable}='{next(values)}'", block) for block in commands]
    print(f"--- {name}", flush=True)
    said = shell(commands)
    for text in expected:
        if text not in said:
            sys.exit(f"{name}: its commands do not show {text!r}")


class Trouble:
    def __init__(self, cloud):
        self.cloud = cloud
        self.customer, self.operator = cloud.token("customer"), cloud.token("operator")

    def ask(self, url, body=None, token=None):
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {token or self.operator}")
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")

    def order(self, payment_method="tok_ok"):
        return self.ask(f"{self.cloud.addresses['orders']}/api/orders", {
            "items": [{"productId": "TEA-SENCHA-100", "quantity": 1}], "currency": "EUR", "paymentMethod": payment_method,
            "address": {"streetAddress": "1 Harbour Street", "city": "Galway", "postalCode": "H91 E2K3", "country": "IE"},
        }, self.customer)["orderId"]

    def fault(self, **fault):
        url = f"{self.cloud.addresses['endpoint']}/_trackops/faults"
        return self.ask(url, fault)["id"]

    def lift(self, fault):
        url = f"{self.cloud.addresses['endpoint']}/_trackops/faults/{fault}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()

    def until(self, what, find):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            found = find()
            if found:
                return found
            time.sleep(0.2)
        sys.exit(f"waited {DEADLINE} s for {what}")

    def parked_events(self, count):
        """Of different orders: events that the bus refused for good, and does not refuse any more."""
        fault = self.fault(target="put-events", contains="ORDER#", errorCode="MalformedDetail", times=-1)
        orders = {self.order() for _ in range(count)}
        url = f"{self.cloud.addresses['relay']}/api/events/unprocessed?parked=true&limit=100"

        def parked():
            events = [event["eventId"] for event in self.ask(url)["items"]]
            mine = [event for event in events if event.split("#")[1] in orders]
            return mine if len(mine) >= count else None

        events = self.until("the events to be parked", parked)
        self.lift(fault)
        return events

    def dead_letter(self):
        """One that a consumer fails on again, so deleting it is the way out."""
        shell(["aws sqs send-message --message-body '{\"detail\": {}}' --queue-url $(aws cloudformation describe-stack-resource "
               "--stack-name $STACK --logical-resource-id StartSagaDeadLetters --query StackResourceDetail.PhysicalResourceId --output text)"])


def main():
    with Cloud(INSTANCE, "--faults") as cloud:
        trouble = Trouble(cloud)
        order = trouble.order()
        follow("events-not-published.md", ['"status":"UP"', '"unpublished"', '"items":'])
        follow("events-parked.md", ["MalformedDetail", "PUBLISHED", "discardedAt"], EVENT=trouble.parked_events(2))
        trouble.dead_letter()
        follow("dead-letters.md", ['"start-saga"', '"moved":'], HANDLE=[HANDLE])
        follow("saga-failed.md", ["COMMITTED", "PAID", '"failed":0'], ORDER=[order])
        follow("webhook-secret-rotation.md", [])
        follow("stolen-key.md", ['"keys"', "401", '"items"'], STOLEN_TOKEN=["forged.by.somebody"])
        follow("kafka.md", [])
        shell([f"cargo local --instance {INSTANCE} status", f"cargo local --instance {INSTANCE} logs | tail -n 5"])
    print("the runbooks' commands do what they say")


run(main)
