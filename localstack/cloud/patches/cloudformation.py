"""CloudFormation resources."""

import json

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners


def apply():
    accept_metric_math_alarms()
    generate_secrets_as_asked()
    read_numbers_of_scaling_configs()
    refer_to_secrets_by_arn()


def accept_metric_math_alarms():
    """AWS has alarms on an expression over several metrics (`Metrics`).

    ministack refuses a whole template that holds one. Here it becomes an alarm on a metric that
    nobody writes, so it exists, and stays in INSUFFICIENT_DATA.
    """
    original = provisioners._cw_metric_alarm_record

    def record(name, properties):
        if properties.get("Metrics"):
            properties = {
                **{key: value for key, value in properties.items() if key != "Metrics"},
                "Namespace": "MetricMath",
                "MetricName": name,
            }
        return original(name, properties)

    provisioners._cw_metric_alarm_record = record


def generate_secrets_as_asked():
    """AWS generates a secret under all rules of `GenerateSecretString`, those of GetRandomPassword.

    ministack knows only its length and ExcludeCharacters, so a secret meant to hold letters and
    digits holds punctuation.
    """
    original = provisioners._sm_secret_string

    def secret_string(properties):
        rules = properties.get("GenerateSecretString")
        if not rules or properties.get("SecretString"):
            return original(properties)
        rules = {key: as_json(value) for key, value in rules.items()}
        _, _, answer = secretsmanager._get_random_password(rules)
        password = json.loads(answer)["RandomPassword"]
        if "SecretStringTemplate" not in rules:
            return password
        template = json.loads(rules["SecretStringTemplate"])
        return json.dumps({**template, rules["GenerateStringKey"]: password})

    def as_json(value):
        # A template may say `true` or 48 as a string.
        if value in ("true", "false"):
            return value == "true"
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    provisioners._sm_secret_string = secret_string


def read_numbers_of_scaling_configs():
    """AWS reads a number that a template has as text, as every reference to a parameter is.

    ministack keeps `MaximumConcurrency` as text, compares it with a number, and delivers nothing of
    the queue.
    """
    mapping = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    original = dict(mapping)

    def read(properties):
        scaling = properties.get("ScalingConfig")
        if not scaling:
            return properties
        numbers = {key: int(value) for key, value in scaling.items()}
        return {**properties, "ScalingConfig": numbers}

    def create(name, properties, stack):
        return original["create"](name, read(properties), stack)

    def update(reference, old, new, stack):
        return original["update"](reference, read(old), read(new), stack)

    mapping.update(create=create, update=update)


def refer_to_secrets_by_arn():
    """On AWS `!Ref` of a secret is its ARN, which policies and outputs rely on.

    ministack's is the name.
    """
    secret = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    original = dict(secret)

    def name_of(reference):
        for name, stored in secretsmanager._secrets.items():
            if stored["ARN"] == reference:
                return name
        return reference

    def create(*arguments):
        _, attributes = original["create"](*arguments)
        return attributes["Arn"], attributes

    def update(reference, *arguments, **options):
        _, attributes = original["update"](name_of(reference), *arguments, **options)
        return attributes["Arn"], attributes

    def delete(reference, properties):
        original["delete"](name_of(reference), properties)

    secret.update(create=create, update=update, delete=delete)
