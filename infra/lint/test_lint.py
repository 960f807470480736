"""What the lints let through, and what each rule refuses. Run: python infra/lint/test_lint.py"""

import copy
import json
import tempfile
import unittest
from pathlib import Path

import asl
import asyncapi
import template

GOOD = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Deployment: {Type: String, Default: aws, AllowedValues: [aws, local]}
Conditions:
  OnAws: !Equals [!Ref Deployment, aws]
  Reserve: !Not [!Equals [!Ref Deployment, small]]
Globals:
  Function: {CodeUri: ./, Handler: bootstrap, Runtime: provided.al2023, Timeout: 10}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      SSESpecification: {SSEEnabled: true}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
      DeletionProtectionEnabled: !If [OnAws, true, false]
  Dead:
    Type: AWS::SQS::Queue
    Properties: {SqsManagedSseEnabled: true}
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      SqsManagedSseEnabled: true
      VisibilityTimeout: 60
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 30}
  Consumer:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${AWS::StackName}-consumer
      Policies:
        - Statement:
            - Effect: Allow
              Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes]
              Resource: !GetAtt Queue.Arn
            - Effect: Allow
              Action: dynamodb:Query
              Resource: !Sub ${Table.Arn}/index/*
            - Effect: Allow
              Action: [xray:PutTraceSegments, xray:PutTelemetryRecords]
              Resource: "*"
  ConsumerLogs:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub "/aws/lambda/${AWS::StackName}-consumer", RetentionInDays: 30}
  ConsumerQueue:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref Consumer
      EventSourceArn: !GetAtt Queue.Arn
      ScalingConfig: {MaximumConcurrency: 10}
      FunctionResponseTypes: [ReportBatchItemFailures]
  Scheduled:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${AWS::StackName}-scheduled
      ReservedConcurrentExecutions: !If [Reserve, 1, !Ref "AWS::NoValue"]
      EventInvokeConfig:
        MaximumRetryAttempts: 0
        MaximumEventAgeInSeconds: 60
      Policies: []
      Events:
        EveryMinute:
          Type: Schedule
          Properties:
            Schedule: rate(1 minute)
            RetryPolicy: {MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60}
  ScheduledLogs:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub "/aws/lambda/${AWS::StackName}-scheduled", RetentionInDays: 14}
"""

MACHINE = {
    "StartAt": "Reserve",
    "TimeoutSeconds": 240,
    "States": {
        "Reserve": {
            "Type": "Task",
            "Resource": "${Reserve}",
            "TimeoutSeconds": 20,
            "Retry": [
                {
                    "ErrorEquals": ["Busy"],
                    "MaxAttempts": 3,
                    "BackoffRate": 2,
                    "MaxDelaySeconds": 5,
                    "JitterStrategy": "FULL",
                }
            ],
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
    },
}


class Template(unittest.TestCase):
    def findings(self, text, definition="{}"):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "saga.asl.json").write_text(definition)
            path = Path(folder) / "template.yaml"
            path.write_text(text)
            return template.lint(path)

    def refused(self, old, new, because):
        """With `new` in the place of `old` the good template is refused, for nothing else."""
        self.assertEqual(GOOD.count(old), 1, f"the good template has {old!r} once")
        found = self.findings(GOOD.replace(old, new))
        self.assertTrue(found, f"{new!r} is let through")
        for finding in found:
            self.assertIn(because, finding)

    def test_a_good_template_has_no_findings(self):
        self.assertEqual(self.findings(GOOD), [])

    def test_yaml_that_says_a_thing_twice_is_refused(self):
        self.refused("  Dead:\n", "  Queue: {Type: AWS::SQS::Queue}\n  Dead:\n", "Duplicate")

    def test_what_sam_cannot_transform_is_refused(self):
        self.refused("Runtime: provided.al2023", "Rantime: provided.al2023", "Rantime")

    def test_a_mistake_inside_a_sam_resource_is_refused(self):
        self.refused("Runtime: provided.al2023", "Runtime: provided.al1999", "provided.al1999")

    def test_an_unknown_iam_action_is_refused(self):
        self.refused("dynamodb:Query", "dynamodb:Quarry", "W3037")

    def test_a_function_without_a_log_group_is_refused(self):
        self.refused(
            "/aws/lambda/${AWS::StackName}-consumer",
            "/aws/lambda/${AWS::StackName}-other",
            "has no log group",
        )

    def test_logs_kept_for_ever_are_refused(self):
        self.refused(", RetentionInDays: 30", "", "RetentionInDays")

    def test_a_function_without_policies_is_refused(self):
        lines = GOOD.splitlines()
        start, end = lines.index("      Policies:"), lines.index("  ConsumerLogs:")
        self.refused("\n".join(lines[start:end]), "", "says nothing of its rights")

    def test_a_consumer_without_a_maximum_is_refused(self):
        scaling = "      ScalingConfig: {MaximumConcurrency: 10}\n"
        self.refused(scaling, "", "MaximumConcurrency")

    def test_a_queue_whose_messages_are_soon_given_up_is_refused(self):
        self.refused("maxReceiveCount: 30", "maxReceiveCount: 29", "maxReceiveCount")

    def test_a_schedule_whose_runs_lambda_repeats_is_refused(self):
        twice = "        MaximumRetryAttempts: 0\n        MaximumEventAgeInSeconds: 60\n"
        for kept, because in (
            ("        MaximumEventAgeInSeconds: 60\n", "MaximumRetryAttempts"),
            ("        MaximumRetryAttempts: 0\n", "MaximumEventAgeInSeconds"),
            (twice.replace("0\n", "1\n", 1), "MaximumRetryAttempts"),
            (twice.replace("60", "61"), "MaximumEventAgeInSeconds"),
        ):
            self.refused(twice, kept, because)

    def test_a_schedule_whose_runs_come_late_is_refused(self):
        policy = "            RetryPolicy: {MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60}\n"
        self.refused(policy, "", "RetryPolicy")

    def test_a_schedule_whose_runs_may_overlap_is_refused(self):
        for other in ("Reserve, 2", 'Reserve, !Ref "AWS::NoValue"'):
            self.refused("Reserve, 1", other, "may run beside itself")

    def test_a_service_that_may_act_for_another_account_is_refused(self):
        role = """
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {Service: states.amazonaws.com}, Action: sts:AssumeRole%s}
"""
        condition = ', Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}}'
        self.assertEqual(self.findings(GOOD + role % condition), [])
        found = self.findings(GOOD + role % "")
        self.assertEqual(len(found), 1, found)
        self.assertIn("aws:SourceAccount", found[0])

    def test_an_api_that_accepts_old_tls_is_refused(self):
        api = """
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v1
      EndpointConfiguration: {Type: REGIONAL}
      %s
      DefinitionBody: {openapi: 3.0.1, info: {title: t, version: "1"}, paths: {}}
"""
        good = "SecurityPolicy: SecurityPolicy_TLS13_1_2_2021_06\n      EndpointAccessMode: STRICT"
        self.assertEqual(self.findings(GOOD + api % good), [])
        for old in ("", "SecurityPolicy: TLS_1_0"):
            found = self.findings(GOOD + api % old)
            self.assertTrue(any("accepts TLS 1.0" in each for each in found), found)

    def test_a_writer_of_every_kind_of_item_of_a_mixed_table_is_refused(self):
        mixed = GOOD.replace("  Table:\n", "  OrdersTable:\n").replace("${Table.Arn}", "${OrdersTable.Arn}")
        statement = """            - Effect: Allow
              Action: dynamodb:PutItem
              Resource: !GetAtt OrdersTable.Arn
"""
        condition = """              Condition: {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["ORDER#*"]}}
"""
        before = "  ConsumerLogs:\n"
        good = mixed.replace(before, statement + condition + before)
        self.assertEqual(self.findings(good), [])
        found = self.findings(mixed.replace(before, statement + before))
        self.assertEqual(len(found), 1, found)
        self.assertIn("dynamodb:LeadingKeys", found[0])

    def test_an_event_that_lambda_repeats_is_refused(self):
        rule = """
  Direct:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [other]}
      Targets: [{Id: direct, Arn: !GetAtt Consumer.Arn}]
"""
        found = self.findings(GOOD + rule)
        self.assertEqual(len(found), 1, found)
        self.assertIn("is run again by Lambda for Direct", found[0])

    def test_a_wildcard_action_is_refused(self):
        self.refused("dynamodb:Query", "dynamodb:*", "name each action")

    def test_a_wildcard_resource_is_refused(self):
        for wide in (
            '"*"',
            "!Sub arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/*",
        ):
            self.refused("!Sub ${Table.Arn}/index/*", wide, "name the resource")

    def test_a_resource_that_starts_like_others_is_refused(self):
        wide = "!Sub arn:aws:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${AWS::StackName}-*"
        self.refused("!Sub ${Table.Arn}/index/*", wide, "name the resource")

    def test_a_resource_that_trusts_everyone_is_refused(self):
        policy = """  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: "*"
            Action: sqs:SendMessage
            Resource: !GetAtt Queue.Arn
"""
        self.refused("  ConsumerLogs:\n", policy + "  ConsumerLogs:\n", "trusts everyone")

    def test_allowing_all_but_something_is_refused(self):
        self.refused("Action: dynamodb:Query", "NotAction: dynamodb:Query", "all but something")

    def test_the_managed_policy_sam_adds_for_a_queue_is_refused(self):
        events = """      Events:
        Again:
          Type: SQS
          Properties:
            Queue: !GetAtt Queue.Arn
            ScalingConfig: {MaximumConcurrency: 10}
            FunctionResponseTypes: [ReportBatchItemFailures]
"""
        rights = "      Policies:\n"
        self.refused(rights, events + rights, "AWSLambdaSQSQueueExecutionRole")

    def test_a_plain_text_queue_is_refused(self):
        self.refused(
            "Properties: {SqsManagedSseEnabled: true}",
            "Properties: {SqsManagedSseEnabled: false}",
            "not encrypted",
        )

    def test_a_consumed_queue_without_a_dead_letter_queue_is_refused(self):
        self.refused(
            "      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 30}\n",
            "",
            "no dead-letter queue",
        )

    def test_a_consumer_that_fails_whole_batches_is_refused(self):
        self.refused(
            "      FunctionResponseTypes: [ReportBatchItemFailures]\n", "", "fails whole batches"
        )

    def test_rights_under_any_condition_are_looked_at(self):
        old = "            - Effect: Allow\n              Action: dynamodb:Query\n              Resource: !Sub ${Table.Arn}/index/*\n"
        new = """            - !If
              - OnMsk
              - Effect: Allow
                Action: dynamodb:Query
                Resource: "*"
              - !Ref AWS::NoValue
"""
        condition = "Conditions:\n"
        good = GOOD.replace(condition, condition + "  OnMsk: !Equals [!Ref AWS::Region, x]\n")
        (finding,) = self.findings(good.replace(old, new))
        self.assertIn("name the resource", finding)

    def test_a_rule_on_something_that_is_no_bus_is_refused(self):
        bus = """  Bus:
    Type: AWS::Events::EventBus
    Properties: {Name: bus}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: !Ref Bus
      EventPattern: {source: [a]}
      Targets: [{Id: queue, Arn: !GetAtt Queue.Arn}]
"""
        good = GOOD.replace("  ConsumerLogs:\n", bus + "  ConsumerLogs:\n")
        self.assertEqual(self.findings(good), [])
        (finding,) = self.findings(good.replace("EventBusName: !Ref Bus", "EventBusName: !Ref Deployment"))
        self.assertIn("is no bus", finding)

    def test_a_topic_without_a_place_for_failures_is_refused(self):
        mapping = """  Topic:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref Consumer
      EventSourceArn: arn:aws:kafka:eu-central-1:123456789012:cluster/c/1
      Topics: [orders]
      StartingPosition: TRIM_HORIZON
"""
        failures = "      DestinationConfig: {OnFailure: {Destination: !GetAtt Dead.Arn}}\n"
        good = GOOD.replace("  ConsumerLogs:\n", mapping + failures + "  ConsumerLogs:\n")
        self.assertEqual(self.findings(good), [])
        (finding,) = self.findings(good.replace(failures, ""))
        self.assertIn("says of no failure", finding)

    def test_a_table_that_a_mistake_could_take_is_refused(self):
        self.refused("SSEEnabled: true}", "SSEEnabled: false}", "not encrypted")
        self.refused(
            "PointInTimeRecoveryEnabled: true",
            "PointInTimeRecoveryEnabled: false",
            "cannot be restored",
        )
        self.refused("[OnAws, true, false]", "[OnAws, false, true]", "can be deleted")
        self.refused(
            "UpdateReplacePolicy: Retain",
            "UpdateReplacePolicy: Delete",
            "UpdateReplacePolicy: Retain",
        )

    def test_substitutions_that_miss_the_definition_are_refused(self):
        machine = """  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: saga.asl.json
      DefinitionSubstitutions: {Reserve: !GetAtt Consumer.Arn}
      Role: arn:aws:iam::123456789012:role/saga
"""
        self.assertEqual(self.findings(GOOD + machine, '{"Resource": "${Reserve}"}'), [])
        found = self.findings(GOOD + machine, '{"Resource": "${Reverse}"}')
        self.assertEqual(len(found), 1)
        self.assertIn("disagree on the substitutions ['Reserve', 'Reverse']", found[0])


class StateMachine(unittest.TestCase):
    def refused(self, change, because):
        machine = copy.deepcopy(MACHINE)
        change(machine, machine["States"]["Reserve"])
        found = asl.lint(json.dumps(machine))
        self.assertTrue(any(because in finding for finding in found), found)

    def test_a_good_definition_has_no_findings(self):
        self.assertEqual(asl.lint(json.dumps(MACHINE)), [])

    def test_text_that_is_not_json_is_refused(self):
        self.assertIn("is not JSON", asl.lint("{")[0])

    def test_a_transition_to_nowhere_is_refused_by_both_linters(self):
        for linter in ("asl-validator", "statelint"):
            self.refused(lambda _, reserve: reserve.update(Next="Nowhere"), linter)

    def test_what_only_standard_can_do_is_refused(self):
        for resource in (
            "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "arn:aws:states:::states:startExecution.sync:2",
            "arn:aws:states:us-east-1:123456789012:activity:reserve",
        ):
            self.refused(
                lambda _, reserve, resource=resource: reserve.update(Resource=resource),
                "in STANDARD only",
            )

    def test_what_only_standard_can_do_is_refused_inside_a_branch_too(self):
        def nest(machine, reserve):
            reserve.update(Resource="arn:aws:states:::lambda:invoke.waitForTaskToken")
            inner = {"StartAt": "Reserve", "States": machine["States"]}
            machine["States"] = {"Both": {"Type": "Parallel", "Branches": [inner], "End": True}}
            machine["StartAt"] = "Both"

        self.refused(nest, "in STANDARD only")

    def test_a_task_without_a_timeout_is_refused(self):
        self.refused(
            lambda _, reserve: reserve.pop("TimeoutSeconds"), "Reserve: set TimeoutSeconds"
        )

    def test_a_machine_that_outlives_express_is_refused(self):
        self.refused(
            lambda machine, _: machine.update(TimeoutSeconds=301), "TimeoutSeconds of the machine"
        )


EVENTS = """
asyncapi: 3.0.0
info: {title: Things, version: 1.0.0}
channels:
  thing:
    address: thing
    messages:
      thing.v1: {$ref: '#/components/messages/thing.v1'}
      thing.v2: {$ref: '#/components/messages/thing.v2'}
operations:
  sendThing: {action: send, channel: {$ref: '#/channels/thing'}}
components:
  messages:
    thing.v1: {payload: {type: object}, x-published-until: 2026-06-01}
    thing.v2: {payload: {type: object}, x-announced: 2026-03-01, x-published-from: 2026-06-01}
"""


class AsyncApi(unittest.TestCase):
    def findings(self, text):
        return asyncapi.lint(text, Path(__file__).parent)

    def refused(self, old, new, because):
        self.assertIn(old, EVENTS)
        found = self.findings(EVENTS.replace(old, new))
        self.assertTrue(any(because in finding for finding in found), found)

    def test_a_good_document_has_no_findings(self):
        self.assertEqual(self.findings(EVENTS), [])

    def test_what_asyncapi_does_not_know_is_refused(self):
        self.refused("action: send", "action: shout", "shout")
        self.refused("asyncapi: 3.0.0", "asyncapi: 4.0.0", "was expected")

    def test_a_reference_that_leads_nowhere_is_refused(self):
        self.refused("$ref: '#/channels/thing'", "$ref: '#/channels/thin'", "thin leads nowhere")
        self.refused(
            "thing.v1: {payload: {type: object}",
            "thing.v1: {payload: {$ref: ./thing.json}",
            "thing.json leads nowhere",
        )

    def test_a_new_version_without_dates_is_refused(self):
        self.refused("x-announced: 2026-03-01, ", "", "thing.v2: set x-announced")
        self.refused("from: 2026-06-01", "from: soon", "each a date")

    def test_a_new_version_that_comes_too_soon_is_refused(self):
        self.refused("x-announced: 2026-03-01", "x-announced: 2026-03-04", "less than 90 days")

    def test_an_old_version_without_its_end_is_refused(self):
        self.refused(", x-published-until: 2026-06-01", "", "thing.v1: set x-published-until")


class OurTemplate(unittest.TestCase):
    def wanting_a_key(self, **parameters):
        """`{api: {key is wanted: methods}}`."""
        decoded, _ = template.decode(str(template.ROOT / "template.yaml"))
        source = json.loads(json.dumps(decoded))
        methods = {}
        for name, resource in template.as_deployed(source, **parameters)["Resources"].items():
            if resource["Type"] == "AWS::ApiGateway::RestApi":
                operations = methods[name] = {True: set(), False: set()}
                for path in resource["Properties"]["Body"]["paths"].values():
                    for method, operation in path.items():
                        operations[{"api_key": []} in operation.get("security", [])].add(method)
        self.assertTrue(methods)
        return methods

    def test_no_method_wants_an_api_key_by_default(self):
        for api, methods in self.wanting_a_key().items():
            self.assertEqual(methods[True], set(), api)

    def test_where_keys_are_required_all_but_preflights_and_the_provider_need_one(self):
        for api, methods in self.wanting_a_key(ApiKeyRequired="true").items():
            if api == "PaymentsApi":
                self.assertEqual(methods[True], set(), api)
            else:
                self.assertEqual(methods[False], {"options"}, api)


if __name__ == "__main__":
    unittest.main()
