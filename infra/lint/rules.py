"""The house rules for infrastructure, on a template that SAM has already transformed.

A rule takes the resources as on AWS and yields `(logical id, what is wrong: what to write)`.
"""

import re

from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

# SAM gives the first to every role, the second to every traced function and the third to every one
# with a VpcConfig. Those that it adds for SQS and stream events reach every queue and every stream
# of the account.
MANAGED_POLICIES = (
    "service-role/AWSLambdaBasicExecutionRole",
    "AWSXrayWriteOnlyAccess",
    "service-role/AWSLambdaVPCAccessExecutionRole",
)

# Lambda makes and names the network interfaces of its pollers itself.
OF_UNKNOWN_RESOURCES = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")

# Services whose ARNs name no kind: `bucket/*` is within one bucket, `table/*` is every table.
WITHOUT_KIND = ("s3", "sns", "sqs")

# Of a message, at 60 seconds each: as long as others may take all concurrency.
LEAST_RECEIVES = 30

# Seconds that a scheduled run may wait: then the next one is due.
LONGEST_WAIT = 60

# Its shards can be shared among several runs. See docs/decisions/0033-sweeps-may-overlap.md.
MAY_OVERLAP = ("SweepOutboxFunction",)

# Tables that hold more than one kind of item, told apart by the beginning of the key.
OF_SEVERAL_KINDS = ("${OrdersTable.Arn}", "${InventoryTable.Arn}")

IAM_ACTIONS = load_resource(AdditionalSpecs, "Policies.json")


def findings(template):
    """Every finding of every rule."""
    resources = on_aws(template["Resources"])
    for rule in RULES:
        yield from rule(resources)


def on_aws(value):
    """`value` as it is deployed to AWS: `!If [OnAws, a, b]` is a, `!Ref AWS::NoValue` is absent.

    In a list `!If` of any other condition is both, because either may be deployed.
    """
    if isinstance(value, list):
        return [on_aws(item) for item in either(value) if not is_no_value(item)]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Fn::If": ["OnAws", then, _]}:
            return on_aws(then)
    values = {key: on_aws(item) for key, item in value.items()}
    return {key: item for key, item in values.items() if not is_no_value(item)}


def either(items):
    for item in items:
        match item:
            case {"Fn::If": [condition, *branches]} if condition != "OnAws":
                yield from either(branches)
            case _:
                yield item


def is_no_value(value):
    return value == {"Ref": "AWS::NoValue"}


def functions_have_their_own_log_group(resources):
    owners = {}
    for name, function in of_type(resources, "AWS::Lambda::Function"):
        group = log_group_of(name, function, resources)
        if group is None:
            yield (
                name,
                "has no log group: add an AWS::Logs::LogGroup named /aws/lambda/<its FunctionName>",
            )
        elif group in owners:
            yield name, f"shares the log group {group} with {owners[group]}: give it its own"
        owners.setdefault(group, name)
    for name, group in of_type(resources, "AWS::Logs::LogGroup"):
        if "RetentionInDays" not in group:
            yield name, "keeps its logs for ever: set RetentionInDays"


def log_group_of(name, function, resources):
    """The logical id of the log group that the function called `name` writes to."""
    match function.get("LoggingConfig"):
        case {"LogGroup": {"Ref": group}}:
            return group
    names = {f"/aws/lambda/{text(function.get('FunctionName'))}", f"/aws/lambda/${{{name}}}"}
    groups = of_type(resources, "AWS::Logs::LogGroup")
    return next(
        (group for group, values in groups if text(values.get("LogGroupName")) in names), None
    )


def policies_name_what_they_allow(resources):
    for name, statement in statements(resources):
        if statement.get("Effect") != "Allow":
            continue
        if "NotAction" in statement or "NotResource" in statement:
            yield name, "allows all but something: name what it allows with Action and Resource"
        if statement.get("Principal") in ("*", {"AWS": "*"}):
            yield name, "trusts everyone: name the principal"
        actions = many(statement.get("Action"))
        for action in actions:
            if "*" in action or "?" in action:
                yield name, f"allows {action}: name each action"
        for resource in map(text, many(statement.get("Resource"))):
            if resource == "*" and all(map(has_no_resource_level, actions)):
                continue
            if is_wide(resource):
                yield name, f"allows {', '.join(actions)} on {resource}: name the resource"


def services_act_for_this_account_only(resources):
    """Source: "Cross-service confused deputy prevention", IAM User Guide. Lambda assumes a role for its function only."""
    keys = [
        (name, statement)
        for name, key in of_type(resources, "AWS::KMS::Key")
        for statement in many(key["KeyPolicy"]["Statement"])
    ]
    for name, statement in [*statements(resources), *keys]:
        principal = statement.get("Principal")
        services = many(principal.get("Service")) if isinstance(principal, dict) else []
        of_account = {"aws:SourceAccount", "aws:SourceArn"} & condition_keys(statement)
        if set(services) - {"lambda.amazonaws.com"} and not of_account:
            yield (
                name,
                f"lets {', '.join(services)} act for any account: set a Condition on aws:SourceAccount",
            )


def writers_say_which_kinds_of_item(resources):
    for name, statement in statements(resources):
        writes = {"dynamodb:PutItem", "dynamodb:UpdateItem"} & set(many(statement.get("Action")))
        mixed = [table for table in map(text, many(statement.get("Resource"))) if table in OF_SEVERAL_KINDS]
        if writes and mixed and "dynamodb:LeadingKeys" not in condition_keys(statement):
            yield name, f"may write any item of {', '.join(mixed)}: set a Condition on dynamodb:LeadingKeys"


def apis_refuse_old_tls(resources):
    for name, api in of_type(resources, "AWS::ApiGateway::RestApi"):
        if not str(api.get("SecurityPolicy", "")).startswith("SecurityPolicy_TLS13_1_"):
            yield name, "accepts TLS 1.0: set SecurityPolicy: SecurityPolicy_TLS13_1_2_2021_06"


def roles_have_no_policies_of_aws(resources):
    advice = (
        "write its statements out, and EventSourceMapping resources instead of Events for queues"
    )
    for name, role in of_type(resources, "AWS::IAM::Role"):
        for arn in map(text, role.get("ManagedPolicyArns", [])):
            if arn.partition(":policy/")[2] not in MANAGED_POLICIES:
                yield name, f"has the managed policy {arn}: {advice}"


def statements(resources):
    """`(logical id, statement)` for every policy, of an identity or of a resource."""
    for name, values in of_type(resources, "AWS::IAM::Role"):
        yield from ((name, each) for each in many(values["AssumeRolePolicyDocument"]["Statement"]))
        for policy in values.get("Policies", []):
            yield from ((name, each) for each in many(policy["PolicyDocument"]["Statement"]))
    for kind in (
        "IAM::Policy",
        "IAM::ManagedPolicy",
        "SQS::QueuePolicy",
        "SNS::TopicPolicy",
        "S3::BucketPolicy",
    ):
        for name, values in of_type(resources, f"AWS::{kind}"):
            yield from ((name, each) for each in many(values["PolicyDocument"]["Statement"]))


def condition_keys(statement):
    """What the conditions of a statement are about."""
    return {key for condition in statement.get("Condition", {}).values() for key in condition}


def is_wide(resource):
    """Whether an ARN covers more than one named thing and what is inside it (indexes, objects)."""
    named = re.sub(r"[/:]\*$", "", resource)
    if "*" in named or "?" in named:
        return True
    if named == resource or named.startswith("${"):
        return False
    service, thing = named.split(":", 5)[2::3]
    return service not in WITHOUT_KIND and not re.search("[/:]", thing)


def has_no_resource_level(action):
    """Whether IAM can allow `action` on `*` only (by cfn-lint's copy of AWS's table)."""
    service, _, verb = action.lower().partition(":")
    if action in OF_UNKNOWN_RESOURCES:
        return True
    known = IAM_ACTIONS.get(service, {}).get("Actions", {}).get(verb)
    return known is not None and not known.get("Resources")


def queues_are_encrypted_and_have_a_dead_letter_queue(resources):
    consumed = {
        consumed_by(mapping) for _, mapping in of_type(resources, "AWS::Lambda::EventSourceMapping")
    }
    for name, queue in of_type(resources, "AWS::SQS::Queue"):
        if queue.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in queue:
            yield name, "is not encrypted: set SqsManagedSseEnabled: true"
        if name in consumed and "deadLetterTargetArn" not in queue.get("RedrivePolicy", {}):
            yield name, "is consumed and has no dead-letter queue: set RedrivePolicy"


def consumed_by(mapping):
    """The logical id of the queue or table an event source mapping reads."""
    match mapping.get("EventSourceArn"):
        case {"Fn::GetAtt": [name, _]}:
            return name


def consumers_report_each_failed_record(resources):
    for name, mapping in of_type(resources, "AWS::Lambda::EventSourceMapping"):
        if "Topics" in mapping:
            # Of a topic only whole batches fail, and for ever: docs/decisions/0018.
            if "DestinationConfig" not in mapping:
                yield name, "says of no failure: set DestinationConfig: {OnFailure: ...}"
        elif mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield name, "fails whole batches: set FunctionResponseTypes: [ReportBatchItemFailures]"


def queue_consumers_have_a_maximum(resources):
    """Without one a backlog takes the concurrency of the account, and what is then throttled is received in vain."""
    for name, mapping in of_type(resources, "AWS::Lambda::EventSourceMapping"):
        queue = resources.get(consumed_by(mapping), {})
        if queue.get("Type") != "AWS::SQS::Queue":
            continue
        if "MaximumConcurrency" not in mapping.get("ScalingConfig", {}):
            yield name, "takes all concurrency there is: set ScalingConfig: {MaximumConcurrency: ...}"
        receives = queue["Properties"].get("RedrivePolicy", {}).get("maxReceiveCount", LEAST_RECEIVES)
        if receives < LEAST_RECEIVES:
            yield (
                consumed_by(mapping),
                f"gives a message up after {receives} receives, and a throttled one is received too: "
                f"set maxReceiveCount to {LEAST_RECEIVES} or more",
            )


def what_is_invoked_and_not_waited_for_is_not_repeated_by_lambda(resources):
    """Lambda invokes again twice what fails so, beside the next run of a schedule."""
    settings = {
        referenced(values.get("FunctionName")): values
        for _, values in of_type(resources, "AWS::Lambda::EventInvokeConfig")
    }
    functions = dict(of_type(resources, "AWS::Lambda::Function"))
    for source, function, target, is_schedule in asynchronous(resources):
        if function not in functions:
            continue
        values = settings.get(function, {})
        if values.get("MaximumRetryAttempts") != 0:
            yield function, f"is run again by Lambda for {source}: set EventInvokeConfig: {{MaximumRetryAttempts: 0}}"
        if not is_schedule:
            continue
        if not 60 <= values.get("MaximumEventAgeInSeconds", 21600) <= LONGEST_WAIT:
            yield (
                function,
                f"runs late for {source}: set EventInvokeConfig: {{MaximumEventAgeInSeconds: {LONGEST_WAIT}}}",
            )
        if target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 86400) > LONGEST_WAIT:
            yield source, f"delivers late: set RetryPolicy: {{MaximumEventAgeInSeconds: {LONGEST_WAIT}}}"
        reserved = functions[function].get("ReservedConcurrentExecutions")
        if 1 not in choices(reserved) and function not in MAY_OVERLAP:
            yield function, "may run beside itself: set ReservedConcurrentExecutions: 1"


def asynchronous(resources):
    """`(logical id, function, target, whether it is a schedule)` of what invokes a function and does not wait for it."""
    for name, rule in of_type(resources, "AWS::Events::Rule"):
        for target in rule.get("Targets", []):
            yield name, referenced(target.get("Arn")), target, "ScheduleExpression" in rule
    for name, schedule in of_type(resources, "AWS::Scheduler::Schedule"):
        target = schedule.get("Target", {})
        yield name, referenced(target.get("Arn")), target, True
    for name, subscription in of_type(resources, "AWS::SNS::Subscription"):
        if subscription.get("Protocol") == "lambda":
            yield name, referenced(subscription.get("Endpoint")), subscription, False


def referenced(value):
    """The logical id of the resource that a value names."""
    match value:
        case {"Fn::GetAtt": [name, _]} | {"Ref": name}:
            return name


def choices(value):
    """What a value may be, by conditions that are not about where it is deployed."""
    match value:
        case {"Fn::If": [_, *branches]}:
            return [choice for branch in branches for choice in choices(branch)]
    return [value]


def rules_are_of_our_bus(resources):
    """A parameter, such as the one that chooses the bus, is no bus; a local cloud takes any name."""
    buses = [name for name, _ in of_type(resources, "AWS::Events::EventBus")]
    for name, rule in of_type(resources, "AWS::Events::Rule"):
        match rule.get("EventBusName"):
            case {"Ref": bus} if bus not in buses:
                yield name, f"is on {bus}, which is no bus of this template: it has {buses}"


def tables_survive_a_mistake(resources):
    for name, table in of_type(resources, "AWS::DynamoDB::Table"):
        if table.get("SSESpecification", {}).get("SSEEnabled") is not True:
            yield name, "is not encrypted with a KMS key: set SSESpecification: {SSEEnabled: true}"
        if (
            table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled")
            is not True
        ):
            yield (
                name,
                "cannot be restored: set PointInTimeRecoveryEnabled: true",
            )
        if table.get("DeletionProtectionEnabled") is not True:
            yield name, "can be deleted: set DeletionProtectionEnabled: true"
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resources[name].get(policy) != "Retain":
                yield name, f"goes with its stack: set {policy}: Retain"


def of_type(resources, kind):
    """`(logical id, properties)` of the resources of one type."""
    return [
        (name, each.get("Properties", {}))
        for name, each in resources.items()
        if each["Type"] == kind
    ]


def many(value):
    """`value` as a list, as IAM reads it."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def text(value):
    """A string as the template has it: intrinsics as `${...}`, pseudo parameters as words."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            name = f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            name = f"${{{name}.{attribute}}}"
        case {"Fn::Sub": [name, _]} | {"Fn::Sub": name}:
            pass
        case {"Fn::Join": [separator, parts]}:
            name = separator.join(map(text, parts))
        case _:
            name = str(value)
    return re.sub(r"\$\{AWS::(\w+)\}", r"\1", name)


RULES = (
    functions_have_their_own_log_group,
    policies_name_what_they_allow,
    services_act_for_this_account_only,
    writers_say_which_kinds_of_item,
    apis_refuse_old_tls,
    roles_have_no_policies_of_aws,
    queues_are_encrypted_and_have_a_dead_letter_queue,
    consumers_report_each_failed_record,
    queue_consumers_have_a_maximum,
    what_is_invoked_and_not_waited_for_is_not_repeated_by_lambda,
    rules_are_of_our_bus,
    tables_survive_a_mistake,
)
