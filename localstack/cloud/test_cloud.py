"""What the local cloud promises: `python -m unittest` here, with the packages of requirements.txt.

The patches are tested against two clouds, one patched and one not. When the one that is not starts
to behave like AWS, the test fails and says which patch can go.
"""

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from guard import refusal

HERE = Path(__file__).parent
WAIT_SECONDS = 180  # what comes at all comes in a moment, on a quiet machine
NEVER_SECONDS = 3  # what has not come by then does not come, from the cloud without patches

# Writes the events it is given into the file of its name, then does what they say.
BOOTSTRAP = f"#!{sys.executable}" + """
import http.client, json, os, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
seen = os.path.join(os.environ["SEEN"], os.environ["AWS_LAMBDA_FUNCTION_NAME"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    next_ = api.getresponse()
    text = next_.read().decode()
    request_id = next_.headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(text)
    with open(seen, "a") as file:
        file.write(json.dumps(event) + "\\n")
    if "chatty" in text:
        print("a line of", request_id, flush=True)
    kind, answer = "response", {"env": dict(os.environ)}
    if "raise" in text:
        kind, answer = "error", {"errorType": "Told", "errorMessage": "a secret"}
    if "hold" in text:
        held = b"x" * (event["hold"] << 20)
    if "sleep" in text:
        time.sleep(event.get("sleep", 60 if "for long" in text else 3))
    if "Records" in event:
        answer = {"batchItemFailures": [
            {"itemIdentifier": record["dynamodb"]["SequenceNumber"]}
            for record in event["Records"] if "poison" in json.dumps(record)]}
    api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/{kind}", json.dumps(answer))
    api.getresponse().read()
"""

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: provided.al2023
    Handler: bootstrap
    CodeUri: {Bucket: code, Key: bootstrap.zip}
    Timeout: 30
    Environment: {Variables: {SEEN: SEEN_DIR}}
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v1
      MethodSettings:
        - ResourcePath: /~1echo~1closed
          HttpMethod: POST
          ThrottlingRateLimit: 0
          ThrottlingBurstLimit: 0
      GatewayResponses:
        DEFAULT_5XX: {ResponseTemplates: {application/json: '{"told": "nothing"}'}}
        MISSING_AUTHENTICATION_TOKEN:
          StatusCode: 404
          ResponseTemplates: {application/json: '{"told": "not there"}'}
  Bytes: {Type: AWS::Serverless::Api, Properties: {StageName: v1, BinaryMediaTypes: ["*~1*"]}}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: test-echo
      Events:
        Post: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /echo, Method: post}}
        Any: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /echo, Method: any}}
        Bytes: {Type: Api, Properties: {RestApiId: !Ref Bytes, Path: /bytes, Method: post}}
        Closed: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /echo/closed, Method: post}}
  Queue: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: 1}}
  FromQueue:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: test-from-queue
      Events: {Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}}
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: bus}}
  FromBus:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: test-from-bus
      Events:
        Event:
          Type: EventBridgeRule
          Properties: {EventBusName: !Ref Bus, Pattern: {source: [test]}}
  Saga:
    Type: AWS::Serverless::StateMachine
    Properties:
      Type: EXPRESS
      Role: arn:aws:iam::000000000000:role/any
      Definition:
        StartAt: Task
        States:
          Task:
            Type: Task
            Resource: !GetAtt Echo.Arn
            Catch: [{ErrorEquals: [Injected], ResultPath: $.caught, Next: Caught}]
            End: true
          Caught: {Type: Pass, End: true}
  Pass:
    Type: AWS::Serverless::StateMachine
    Properties:
      Role: arn:aws:iam::000000000000:role/any
      Definition: {StartAt: Pass, States: {Pass: {Type: Pass, End: true}}}
  Dropped: {Type: AWS::SQS::Queue}
STREAMS
Outputs:
  ApiId: {Value: !Ref Api}
  BytesId: {Value: !Ref Bytes}
  Queue: {Value: !Ref Queue}
  Dropped: {Value: !Ref Dropped}
  Saga: {Value: !Ref Saga}
  Pass: {Value: !Ref Pass}
"""

# One table and one function on its stream for each test of streams.
STREAM = """
  {name}Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: {name}
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{{AttributeName: pk, AttributeType: S}}]
      KeySchema: [{{AttributeName: pk, KeyType: HASH}}]
      StreamSpecification: {{StreamViewType: NEW_IMAGE}}
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: test-{name}
      Events:
        Stream:
          Type: DynamoDB
          Properties: {{Stream: !GetAtt {name}Table.StreamArn, StartingPosition: TRIM_HORIZON, {options}}}
"""
STREAMS = {
    "Again": "FunctionResponseTypes: [ReportBatchItemFailures], MaximumRetryAttempts: -1",
    "Skip": "FunctionResponseTypes: [ReportBatchItemFailures], MaximumRetryAttempts: 1,"
    " DestinationConfig: {OnFailure: {Destination: !GetAtt Dropped.Arn}}",
    "Bisect": "BisectBatchOnFunctionError: true, MaximumRetryAttempts: 0",
    "Slow": "BatchSize: 1",
    "Fast": "BatchSize: 1",
    "Restart": "BatchSize: 1",
    "Statements": "BatchSize: 1",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, seconds=WAIT_SECONDS):
    """The condition's first true value, or a failure that says what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited {seconds} s for {what}")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Cloud:
    def __init__(self, *options, parent=None):
        self.directory = tempfile.TemporaryDirectory()
        self.options, self.parent = options, parent or os.getpid()
        self.seen = Path(self.directory.name) / "seen"
        self.seen.mkdir()
        self.patience = NEVER_SECONDS if "--unpatched" in options else WAIT_SECONDS
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "launch.py", "--port", str(self.port), "--log-level=ERROR"]
            + ["--state-dir", f"{self.directory.name}/state", "--parent-pid", str(self.parent)]
            + ["--apis", f"{self.directory.name}/apis.json"]
            + list(self.options),
            env={**os.environ, "A_PRIVATE_VARIABLE": "of the developer"},
        )
        until(self.is_ready, "the cloud to be ready")

    def is_ready(self):
        with contextlib.suppress(OSError):
            return self.http("GET", "/_ministack/ready")[0] == 200

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        return self.process.wait(WAIT_SECONDS)

    def close(self):
        self.stop(signal.SIGKILL)
        self.directory.cleanup()

    def http(self, method, path, content=None, headers=()):
        response, text = self.ask(method, path, content, headers)
        return response.status, json.loads(text) if text else None

    def ask(self, method, path, content=None, headers=()):
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, dict(headers), method=method)
        try:
            response = urllib.request.urlopen(request, timeout=WAIT_SECONDS)
        except urllib.error.HTTPError as error:
            response = error
        return response, response.read()

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="eu-central-1",
            aws_access_key_id="000000000000",
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=WAIT_SECONDS),
        )

    def deploy(self, stack, template):
        """The stack's outputs, or None if it could not be created."""
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(StackName=stack, TemplateBody=textwrap.dedent(template))

        def described():
            found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
            return None if found["StackStatus"].endswith("IN_PROGRESS") else found

        found = until(described, f"stack {stack}")
        if found["StackStatus"] != "CREATE_COMPLETE":
            return None
        return {out["OutputKey"]: out["OutputValue"] for out in found.get("Outputs", [])}

    def deploy_everything(self):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            file.writestr(entry, BOOTSTRAP)
        s3 = self.client("s3")
        s3.create_bucket(
            Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        s3.put_object(Bucket="code", Key="bootstrap.zip", Body=archive.getvalue())
        streams = "".join(STREAM.format(name=name, options=STREAMS[name]) for name in STREAMS)
        template = TEMPLATE.replace("STREAMS", streams).replace("SEEN_DIR", str(self.seen))
        self.outputs = self.deploy("test", template)
        return self

    def api(self, path):
        return f"/_aws/execute-api/{self.outputs['ApiId']}/v1{path}"

    def invoke(self, event, function="test-echo"):
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def put(self, table, *keys):
        dynamodb = self.client("dynamodb")
        for key in keys:
            dynamodb.put_item(TableName=table, Item={"pk": {"S": key}})

    def events(self, function):
        file = self.seen / f"test-{function}"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def records(self, table):
        """Keys of the records that the function on the table's stream was given, by batch."""
        return [
            [record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"]]
            for event in self.events(table)
        ]

    def is_there(self, table, key):
        return lambda: key in sum(self.records(table), [])

    def must_deliver(self, table, key):
        """Whatever the patches are for, this comes, and may take its time."""
        until(self.is_there(table, key), f"{key} of {table}")

    def delivered(self, table, key, at_most=WAIT_SECONDS):
        return self.comes(self.is_there(table, key), f"{key} of {table}", at_most)

    def comes(self, condition, what, at_most=WAIT_SECONDS):
        with contextlib.suppress(AssertionError):
            return until(condition, what, min(self.patience, at_most))
        return False

    def run(self, machine, content):
        """Seconds until the execution has ended, and its output."""
        states = self.client("stepfunctions")
        begin = time.monotonic()
        arn = states.start_execution(
            stateMachineArn=self.outputs[machine], input=json.dumps(content)
        )["executionArn"]
        ended = until(
            lambda: (found := states.describe_execution(executionArn=arn))["status"] != "RUNNING"
            and found,
            f"an execution of {machine}",
        )
        return time.monotonic() - begin, json.loads(ended["output"])

    def pids(self):
        """Processes that run this cloud's functions."""
        mark = f"SEEN={self.seen}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found

    def fault(self, **fault):
        status, answer = self.http("POST", "/_trackops/faults", fault)
        assert status == 201, answer
        return answer["id"]


def setUpModule():
    global patched, plain
    with ThreadPoolExecutor() as pool:
        patched, plain = pool.map(Cloud, ("--faults", "--unpatched"))
        for deployed in pool.map(Cloud.deploy_everything, (patched, plain)):
            assert deployed.outputs, "the stack could not be created"


def tearDownModule():
    patched.close()
    plain.close()


class Patches(unittest.TestCase):
    def needs(self, patch, as_aws):
        """`as_aws(cloud)` holds with the patch, and does not without it."""
        with ThreadPoolExecutor() as pool:
            with_patch, without = pool.map(as_aws, (patched, plain))
        self.assertTrue(with_patch, f"{patch} does not do what it is for")
        self.assertFalse(without, f"ministack does as AWS by itself now: delete {patch}")

    def test_a_failed_function_tells_nothing_through_api_gateway(self):
        def as_aws(cloud):
            answer = cloud.http("POST", cloud.api("/echo"), {"raise": 1})
            return answer == (502, {"told": "nothing"})

        self.needs("api_gateway.hide_function_errors", as_aws)

    def test_a_method_that_a_path_does_not_name_is_served_by_its_any_method(self):
        def as_aws(cloud):
            return cloud.http("PUT", cloud.api("/echo"))[0] == 200

        self.needs("api_gateway.import_any_methods", as_aws)

    def test_api_gateway_answers_by_itself_as_the_template_says(self):
        def as_aws(cloud):
            return cloud.http("GET", cloud.api("/nowhere")) == (404, {"told": "not there"})

        self.needs("api_gateway.import_gateway_responses", as_aws)

    def test_a_method_has_the_limits_that_the_template_gives_it(self):
        def as_aws(cloud):
            return cloud.http("POST", cloud.api("/echo/closed"), {})[0] == 429

        self.needs("api_gateway.decode_method_settings", as_aws)

    def test_a_body_reaches_the_function_as_the_bytes_that_were_sent(self):
        def as_aws(cloud):
            address = f"{cloud.url}/_aws/execute-api/{cloud.outputs['BytesId']}/v1/bytes"
            for headers in ({"Content-Type": "application/json; charset=utf-8"}, {"Content-Type": ""}):
                request = urllib.request.Request(address, b"Caf\xe9", headers, method="POST")
                with contextlib.suppress(urllib.error.HTTPError):
                    urllib.request.urlopen(request, timeout=WAIT_SECONDS).close()
                event = cloud.events("echo")[-1]
                if (event["isBase64Encoded"], event["body"]) != (True, "Q2Fm6Q=="):
                    return False
            return True

        self.needs("api_gateway.decode_binary_media_types", as_aws)

    def test_an_alarm_on_an_expression_is_accepted(self):
        template = """
        Resources:
          Alarm:
            Type: AWS::CloudWatch::Alarm
            Properties:
              EvaluationPeriods: 1
              Threshold: 1
              ComparisonOperator: GreaterThanThreshold
              Metrics:
                - {Id: share, Expression: part / 2}
                - Id: part
                  ReturnData: false
                  MetricStat: {Metric: {Namespace: N, MetricName: M}, Period: 60, Stat: Sum}
        """
        self.needs(
            "cloudformation.accept_metric_math_alarms",
            lambda cloud: cloud.deploy("alarm", template) is not None,
        )

    def test_a_parameter_limits_how_many_consume_a_queue_at_once(self):
        template = """
        Parameters: {Most: {Type: Number, Default: "5"}}
        Resources:
          Limited: {Type: AWS::SQS::Queue}
          Mapping:
            Type: AWS::Lambda::EventSourceMapping
            Properties:
              FunctionName: test-from-bus
              EventSourceArn: !GetAtt Limited.Arn
              # Switched on, it would keep the others of the plain cloud from their queues.
              Enabled: false
              ScalingConfig: {MaximumConcurrency: !Ref Most}
        """

        def as_aws(cloud):
            cloud.deploy("limited", template)
            # As it is sent: the client would make a number of it.
            status, told = cloud.http("GET", "/2015-03-31/event-source-mappings/")
            self.assertEqual(status, 200, told)
            limits = [mapping.get("ScalingConfig") for mapping in told["EventSourceMappings"]]
            return {"MaximumConcurrency": 5} in limits

        self.needs("cloudformation.read_numbers_of_scaling_configs", as_aws)

    def test_a_generated_secret_keeps_to_the_characters_asked_for(self):
        template = """
        Resources:
          Secret:
            Type: AWS::SecretsManager::Secret
            Properties:
              Name: generated
              GenerateSecretString:
                SecretStringTemplate: '{"a":1}'
                GenerateStringKey: b
                PasswordLength: 99
                ExcludePunctuation: true
        """

        def as_aws(cloud):
            cloud.deploy("generated", template)
            secret = cloud.client("secretsmanager").get_secret_value(SecretId="generated")
            value = json.loads(secret["SecretString"])
            return value["a"] == 1 and len(value["b"]) == 99 and value["b"].isalnum()

        self.needs("cloudformation.generate_secrets_as_asked", as_aws)

    def test_a_reference_to_a_secret_is_its_arn_and_the_secret_goes_with_its_stack(self):
        template = """
        Resources:
          Secret:
            Type: AWS::SecretsManager::Secret
            Properties: {{Description: {text}, SecretString: x}}
        Outputs:
          Secret: {{Value: !Ref Secret}}
        """

        def as_aws(cloud):
            secrets, stacks = cloud.client("secretsmanager"), cloud.client("cloudformation")
            arn = cloud.deploy("secret", template.format(text="one"))["Secret"]
            stacks.update_stack(
                StackName="secret", TemplateBody=textwrap.dedent(template.format(text="two"))
            )
            until(
                lambda: secrets.describe_secret(SecretId=arn)["Description"] == "two", "the update"
            )
            stacks.delete_stack(StackName="secret")

            def deleted():
                with contextlib.suppress(ClientError):
                    return "DeletedDate" in secrets.describe_secret(SecretId=arn)
                return True

            until(deleted, "the secret to be deleted")
            return arn.startswith("arn:")

        self.needs("cloudformation.refer_to_secrets_by_arn", as_aws)

    def saves(self, patch, pause, *measures):
        """The patch spares a pause that ministack makes: measured with it and without, in turn.

        Each measure takes its turn with the others, so that whatever else the machine does touches
        all alike, and the least of each counts.
        """
        least = [min(times) for times in zip(*(tuple(it() for it in measures) for _ in range(20)))]
        spared = sum(least[1::2]) - sum(least[::2])
        self.assertGreater(spared, pause / 2, f"{patch} does not do what it is for: {least}")

    def invocation(self, cloud, event):
        def seconds():
            begin = time.monotonic()
            cloud.invoke(event)
            return time.monotonic() - begin

        seconds()  # cold
        return seconds

    def test_a_warm_function_answers_at_once(self):
        chatty = [self.invocation(cloud, {"chatty": 1}) for cloud in (patched, plain)]
        self.saves("runtime_api.send_at_once", 0.04, *chatty)

    def test_a_function_that_logs_nothing_is_as_quick_as_one_that_does(self):
        quiet, chatty = {}, {"chatty": 1}
        pairs = [(patched, quiet), (patched, chatty), (plain, chatty), (plain, quiet)]
        measures = [self.invocation(cloud, event) for cloud, event in pairs]
        self.saves("runtime_api.wait_less_for_logs", 0.05, *measures)

    def test_what_a_function_logs_can_be_read(self):
        logs = patched.client("logs")

        def logged():
            patched.invoke({"chatty": 1})
            events = logs.filter_log_events(logGroupName="/aws/lambda/test-echo")["events"]
            return any("a line of" in event["message"] for event in events)

        until(logged, "the line in the function's log group")

    def test_a_report_has_the_memory_of_its_function_alone(self):
        def reported(cloud, function):
            """The megabytes in the last REPORT line of a function."""
            group = f"/aws/lambda/{function}"
            events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
            reports = [event["message"] for event in events if "REPORT" in event["message"]]
            return int(reports[-1].split("Max Memory Used: ")[1].split()[0])

        def as_aws(cloud):
            cloud.invoke({"hold": 96}, "test-from-bus")
            cloud.invoke({})
            return reported(cloud, "test-from-bus") >= 96 > reported(cloud, "test-echo") > 0

        self.needs("environments.report_a_functions_own_memory", as_aws)

    def test_a_burst_waits_for_the_environments_that_the_processors_can_use(self):
        most = max(4, 2 * (os.cpu_count() or 1))

        def within_bounds(cloud):
            before = set(cloud.pids())
            burst = [{"sleep": 0.5}] * 3 * most
            with ThreadPoolExecutor(len(burst)) as pool:
                answers = list(pool.map(cloud.invoke, burst))
            self.assertTrue(all("env" in answer for answer in answers), answers)
            return len(set(cloud.pids()) - before) <= most

        self.needs("environments.wait_for_a_free_environment", within_bounds)

    def test_an_execution_starts_at_once(self):
        measures = [lambda cloud=cloud: cloud.run("Pass", {})[0] for cloud in (patched, plain)]
        self.saves("step_functions.start_at_once", 0.15, *measures)

    def test_a_record_reported_as_failed_is_delivered_again_with_all_after_it(self):
        def as_aws(cloud):
            cloud.put("Again", "before", "poison", "after")
            cloud.delivered("Again", "after")
            cloud.comes(
                lambda: sum(cloud.records("Again"), []).count("poison") > 2, "two more attempts"
            )
            records = sum(cloud.records("Again"), [])
            return records.count("before") == 1 and records.count("poison") > 2

        self.needs("streams.deliver_streams_as_aws_does", as_aws)

    def test_a_record_out_of_attempts_is_dropped_into_the_failure_queue(self):
        def as_aws(cloud):
            cloud.put("Skip", "poison")
            sqs, queue = cloud.client("sqs"), {"QueueUrl": cloud.outputs["Dropped"]}
            dropped = cloud.comes(
                lambda: sqs.receive_message(**queue).get("Messages"), "the dropped record"
            )
            cloud.put("Skip", "after")
            return bool(dropped) and cloud.delivered("Skip", "after")

        self.needs("streams.deliver_streams_as_aws_does", as_aws)

    def test_a_batch_that_fails_is_bisected_until_only_the_bad_record_is_dropped(self):
        def as_aws(cloud):
            cloud.put("Bisect", "sleep", "one", "raise", "two")
            return cloud.comes(lambda: ["two"] in cloud.records("Bisect"), "the last one alone")

        self.needs("streams.deliver_streams_as_aws_does", as_aws)

    def test_a_slow_function_holds_up_no_other_stream(self):
        def as_aws(cloud):
            cloud.put("Slow", "sleep for long")
            cloud.must_deliver("Slow", "sleep for long")
            cloud.put("Fast", "quick")
            # Before the slow one runs into its function's timeout.
            return cloud.delivered("Fast", "quick", at_most=20)

        self.needs("streams.deliver_streams_as_aws_does", as_aws)

    def test_a_stream_goes_on_after_a_restart(self):
        def as_aws(cloud):
            cloud.put("Restart", "one", "two", "three")
            cloud.must_deliver("Restart", "three")
            cloud.stop()
            cloud.start()
            cloud.put("Restart", "four")
            return cloud.delivered("Restart", "four")

        self.needs("streams.forget_positions_of_lost_streams", as_aws)

    def test_a_stream_has_what_a_statement_changed(self):
        def as_aws(cloud):
            cloud.put("Statements", "one")
            cloud.must_deliver("Statements", "one")
            update = "UPDATE \"Statements\" SET told = 'yes' WHERE pk = 'one'"
            cloud.client("dynamodb").batch_execute_statement(Statements=[{"Statement": update}])
            return cloud.comes(lambda: len(cloud.records("Statements")) == 2, "two records")

        self.needs("streams.tell_streams_of_statements", as_aws)


class Faults(unittest.TestCase):
    def hits(self, fault_id):
        _, answer = patched.http("GET", "/_trackops/faults")
        return next(fault["hits"] for fault in answer["faults"] if fault["id"] == fault_id)

    def test_a_function_fails_before_it_runs_as_often_as_asked(self):
        patched.fault(target="lambda", function="echo", contains="f-a", times=2, errorType="Busy")
        answers = [patched.invoke({"order": "f-a"}).get("errorType") for _ in range(3)]
        self.assertEqual(answers, ["Busy", "Busy", None])
        self.assertEqual(sum("f-a" in str(event) for event in patched.events("echo")), 1)

    def test_a_function_fails_after_it_ran_and_other_events_pass(self):
        patched.fault(target="lambda", function="echo", contains="f-b", when="after")
        self.assertNotIn("errorType", patched.invoke({"order": "f-other"}))
        self.assertEqual(patched.invoke({"order": "f-b"})["errorType"], "Injected")
        self.assertEqual(sum("f-b" in str(event) for event in patched.events("echo")), 1)

    def test_a_failed_task_of_a_state_machine_is_caught_by_its_name(self):
        patched.fault(target="lambda", function="echo", contains="f-c")
        _, output = patched.run("Saga", {"order": "f-c"})
        self.assertEqual(output["caught"]["Error"], "Injected")

    def test_a_failed_call_through_api_gateway_is_a_502(self):
        patched.fault(target="lambda", function="echo", contains="f-d")
        self.assertEqual(patched.http("POST", patched.api("/echo"), {"order": "f-d"})[0], 502)

    def test_a_message_whose_function_fails_comes_again(self):
        fault = patched.fault(target="lambda", function="from-queue", contains="f-e", times=1)
        patched.client("sqs").send_message(QueueUrl=patched.outputs["Queue"], MessageBody="f-e")
        until(lambda: "f-e" in str(patched.events("from-queue")), "the second delivery")
        self.assertEqual(self.hits(fault), 1)

    def test_a_record_whose_function_fails_comes_again(self):
        patched.fault(target="lambda", function="Fast", contains="f-f", times=2)
        patched.put("Fast", "f-f")
        self.assertTrue(patched.delivered("Fast", "f-f"))

    def put_item(self, key):
        patched.put("Slow", key)

    def test_an_aws_call_fails_before_it_is_performed(self):
        call = {"target": "aws", "action": "DynamoDB_20120810.PutItem", "contains": "f-g"}
        body = {"__type": "x#TransactionCanceledException", "CancellationReasons": [{"Code": "A"}]}
        patched.fault(**call, errorType="TransactionCanceledException", body=body)
        with self.assertRaises(ClientError) as caught:
            self.put_item("f-g")
        self.assertEqual(caught.exception.response["CancellationReasons"], [{"Code": "A"}])
        self.assertNotIn("Item", self.get_item("f-g"))
        self.put_item("f-g")

    def test_an_aws_call_fails_after_it_was_performed(self):
        call = {"target": "aws", "action": "DynamoDB_20120810.PutItem", "contains": "f-h"}
        patched.fault(**call, when="after", status=500, errorType="InternalServerError")
        with self.assertRaises(ClientError) as caught:
            self.put_item("f-h")
        self.assertEqual(caught.exception.response["Error"]["Code"], "InternalServerError")
        self.assertIn("Item", self.get_item("f-h"))

    def get_item(self, key):
        return patched.client("dynamodb").get_item(TableName="Slow", Key={"pk": {"S": key}})

    def test_an_action_of_the_query_protocol_fails_in_xml(self):
        patched.fault(target="aws", action="DescribeStacks", contains="f-i", errorType="Throttling")
        with self.assertRaises(ClientError) as caught:
            patched.client("cloudformation").describe_stacks(StackName="f-i")
        self.assertEqual(caught.exception.response["Error"]["Code"], "Throttling")

    def test_some_entries_of_put_events_fail_and_only_the_others_are_delivered(self):
        patched.fault(target="put-events", contains="f-j-bad")
        entries = [
            {"EventBusName": "bus", "Source": "test", "DetailType": "t", "Detail": f'"{detail}"'}
            for detail in ("f-j-one", "f-j-bad", "f-j-two")
        ]
        answer = patched.client("events").put_events(Entries=entries)
        self.assertEqual(answer["FailedEntryCount"], 1)
        self.assertEqual(
            [entry.get("ErrorCode") for entry in answer["Entries"]],
            [None, "ThrottlingException", None],
        )
        until(lambda: "f-j-two" in str(patched.events("from-bus")), "the delivered entries")
        self.assertNotIn("f-j-bad", str(patched.events("from-bus")))

    def test_a_deleted_fault_no_longer_strikes(self):
        fault = patched.fault(target="lambda", function="echo", contains="f-k", times=-1)
        self.assertIn("errorType", patched.invoke({"order": "f-k"}))
        self.assertEqual(patched.http("DELETE", f"/_trackops/faults/{fault}"), (204, None))
        self.assertNotIn("errorType", patched.invoke({"order": "f-k"}))
        self.assertEqual(patched.http("DELETE", f"/_trackops/faults/{fault}")[0], 404)

    def test_a_function_is_killed_at_its_work_and_starts_anew(self):
        self.assertNotIn("errorType", patched.invoke({"order": "warm"}))
        during = {"when": "during", "afterMilliseconds": 50}
        patched.fault(target="lambda", function="echo", contains="f-m", **during)
        self.assertEqual(patched.invoke({"sleep": 9, "of": "f-m"})["errorType"], "Runtime.ExitError")
        self.assertEqual(sum("f-m" in str(event) for event in patched.events("echo")), 1)
        self.assertNotIn("errorType", patched.invoke({"of": "f-m"}))

    def test_a_fault_finds_its_text_in_the_records_of_a_topic(self):
        patched.fault(target="lambda", function="echo", contains="f-l")
        records = [{"value": base64.b64encode(value).decode()} for value in (b"other", b"f-l")]
        event = {"eventSource": "aws:kafka", "records": {"topic-0": records}}
        self.assertIn("errorType", patched.invoke(event))
        self.assertNotIn("errorType", patched.invoke(event))

    def test_a_fault_that_makes_no_sense_is_refused_with_the_reason(self):
        for fault, reason in [
            ({"target": "moon"}, "target must be"),
            ({"target": "lambda"}, "needs function"),
            ({"target": "aws"}, "needs action"),
            ({"target": "lambda", "function": "f", "when": "never"}, "when must be"),
            ({"target": "aws", "action": "a", "when": "during"}, "only a lambda fault"),
            ({"target": "lambda", "function": "f", "times": 0}, "times must be"),
            ({"target": "lambda", "function": "f", "color": "red"}, "color"),
        ]:
            status, answer = patched.http("POST", "/_trackops/faults", fault)
            self.assertEqual(status, 400)
            self.assertIn(reason, answer["message"])

    def test_without_the_option_there_is_no_such_api(self):
        for method in ("GET", "POST"):
            self.assertEqual(plain.http(method, "/_trackops/faults", {})[0], 404)


class Guard(unittest.TestCase):
    """What a web page in the developer's browser sends. `.ci/browser.py` shows it with a real one."""

    EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}

    def setUp(self):
        self.apis = Path(patched.directory.name) / "apis.json"
        self.addCleanup(self.apis.unlink, missing_ok=True)

    def test_the_headers_of_pages_are_told_from_those_of_programs(self):
        table = json.loads((HERE / "guard_cases.json").read_text())
        for case in table["cases"]:
            reason = refusal(case["headers"], lambda origin: origin == table["mayCall"])
            with self.subTest(case["is"]):
                named = reason and reason.removeprefix("The ").split(" header was refused: ")[0]
                self.assertEqual(named, case["refused"])

    def test_a_page_of_another_site_makes_no_function_and_runs_none(self):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("bootstrap", BOOTSTRAP)
        code = {"ZipFile": base64.b64encode(archive.getvalue()).decode()}
        function = {"FunctionName": "evil", "Runtime": "provided.al2023", "Handler": "bootstrap", "Code": code}
        function["Role"] = "arn:aws:iam::000000000000:role/any"
        # What a browser sends without asking first.
        headers = {"Content-Type": "text/plain;charset=UTF-8", **self.EVIL}
        status, told = patched.http("POST", "/2015-03-31/functions", function, headers)
        self.assertEqual(status, 403, told)
        self.assertIn("The Origin header was refused: ", told["message"])
        before = len(patched.events("echo"))
        path = "/2015-03-31/functions/test-echo/invocations"
        self.assertEqual(patched.http("POST", path, {}, headers)[0], 403)
        self.assertEqual(len(patched.events("echo")), before)
        names = [each["FunctionName"] for each in patched.client("lambda").list_functions()["Functions"]]
        self.assertNotIn("evil", names)

    def test_a_page_reads_nothing_by_a_name_that_leads_here(self):
        for host in (f"evil.example:{patched.port}", f"0.0.0.0:{patched.port}"):
            for path in ("/2015-03-31/functions/", "/_trackops/faults", "/_ministack/ready"):
                status, told = patched.http("GET", path, headers={"Host": host})
                self.assertEqual(status, 403, told)
                self.assertIn("The Host header was refused: ", told["message"])

    def test_the_names_of_this_machine_are_answered(self):
        for name in ("localhost", "bucket.localhost", "[::1]"):
            headers = {"Host": f"{name}:{patched.port}"}
            self.assertEqual(patched.ask("GET", "/_ministack/ready", headers=headers)[0].status, 200)

    def test_no_answer_may_be_read_by_every_page(self):
        own = {"Origin": patched.url, "Sec-Fetch-Site": "same-origin"}
        for headers in ({}, own):
            for method in ("GET", "OPTIONS"):
                answer, _ = patched.ask(method, "/2015-03-31/functions/", headers=headers)
                self.assertEqual(answer.status, 200)
                told = [name for name in answer.headers if name.lower().startswith("access-control")]
                self.assertEqual(told, [])

    def test_pages_of_the_origin_that_the_user_named_call_the_apis_and_nothing_else(self):
        shop = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}

        def asked(path):
            return patched.http("POST", path, {}, shop)[0]

        self.assertEqual(asked(patched.api("/echo")), 403)
        self.apis.write_text(json.dumps({"origin": "https://shop.example"}))
        self.assertEqual(asked(patched.api("/echo")), 200)
        self.assertEqual(asked("/2015-03-31/functions/test-echo/invocations"), 403)
        self.apis.write_text(json.dumps({"origin": None}))
        self.assertEqual(asked(patched.api("/echo")), 403)

    def test_a_page_opens_no_web_socket(self):
        gateway = patched.client("apigatewayv2")
        api = gateway.create_api(Name="ws", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
        gateway.create_stage(ApiId=api["ApiId"], StageName="v1")

        def opened(*headers):
            lines = [
                f"GET /_aws/execute-api/{api['ApiId']}/v1 HTTP/1.1",
                f"Host: 127.0.0.1:{patched.port}",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                *headers,
            ]
            with socket.create_connection(("127.0.0.1", patched.port), WAIT_SECONDS) as connection:
                connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
                return int(connection.makefile("rb").readline().split()[1])

        self.assertEqual(opened(), 101)
        self.assertEqual(opened("Origin: https://evil.example"), 403)

    def test_a_page_reaches_no_function_by_its_runtime_api(self):
        api = patched.invoke({})["env"]["AWS_LAMBDA_RUNTIME_API"]
        path = "/2018-06-01/runtime/invocation/none/response"
        for name, value in {**self.EVIL, "Host": "evil.example"}.items():
            request = urllib.request.Request(f"http://{api}{path}", b"{}", {name: value})
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=WAIT_SECONDS)
            self.assertEqual(refused.exception.code, 403)
            self.assertIn(f"The {name} header was refused: ", refused.exception.read().decode())


class Launcher(unittest.TestCase):
    def cloud(self, **options):
        cloud = Cloud(**options)
        self.addCleanup(cloud.close)
        return cloud.deploy_everything()

    def test_functions_see_only_what_they_see_on_aws(self):
        seen = set(patched.invoke({})["env"])
        self.assertIn("AWS_ENDPOINT_URL", seen)
        allowed = {"PATH", "LANG", "TZ", "LC_CTYPE", "SEEN", "_HANDLER", "LAMBDA_TASK_ROOT"}
        self.assertEqual({name for name in seen - allowed if not name.startswith("AWS_")}, set())

    def test_it_answers_on_the_loopback_interface_only(self):
        patched.invoke({})  # so that there is a port of the Runtime API too
        sockets = {os.readlink(file) for file in Path(f"/proc/{patched.process.pid}/fd").iterdir()}
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        lines = [line.split() for line in listening.splitlines()]
        own = [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]
        self.assertIn(f"0100007F:{patched.port:04X}", own)
        self.assertGreater(len(own), 1, "a Runtime API listens too")
        self.assertEqual({address.rsplit(":", 1)[0] for address in own}, {"0100007F"})

    def test_a_taken_port_is_refused(self):
        second = subprocess.run(
            [
                sys.executable,
                HERE / "launch.py",
                "--port",
                str(patched.port),
                "--state-dir",
                "/tmp",
            ],
            capture_output=True,
            text=True,
        )
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(f"port {patched.port} cannot be used", second.stderr)

    def test_what_was_deployed_is_there_after_a_stop_and_no_function_outlives_it(self):
        cloud = self.cloud()
        cloud.invoke({})
        cloud.put("Fast", "kept")
        functions = cloud.pids()
        self.assertTrue(functions)
        self.assertEqual(cloud.stop(), 0)
        self.assertFalse([pid for pid in functions if alive(pid)])
        cloud.start()
        self.assertIn("env", cloud.invoke({}))
        item = cloud.client("dynamodb").get_item(TableName="Fast", Key={"pk": {"S": "kept"}})
        self.assertIn("Item", item)

    def test_it_does_not_wait_for_functions_at_work_when_it_stops(self):
        cloud = self.cloud()
        with ThreadPoolExecutor() as pool:
            pool.submit(cloud.invoke, {"sleep": 25})
            until(lambda: cloud.events("echo"), "the function to be at work")
            functions, begin = cloud.pids(), time.monotonic()
            self.assertEqual(cloud.stop(), 0)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertFalse([pid for pid in functions if alive(pid)])

    def test_functions_end_when_the_cloud_is_killed_even_those_at_work(self):
        cloud = self.cloud()
        with ThreadPoolExecutor() as pool:
            pool.submit(cloud.invoke, {"sleep": 60})
            until(lambda: cloud.events("echo"), "the function to be at work")
            functions = cloud.pids()
            cloud.stop(signal.SIGKILL)
        self.assertTrue(functions)
        until(lambda: not any(map(alive, functions)), "the functions to end")

    def test_it_stops_when_the_process_it_follows_is_gone(self):
        followed = subprocess.Popen(["sleep", "600"])
        cloud = self.cloud(parent=followed.pid)
        followed.kill()
        self.assertEqual(cloud.process.wait(WAIT_SECONDS), 0)
        followed.wait()


if __name__ == "__main__":
    unittest.main()
