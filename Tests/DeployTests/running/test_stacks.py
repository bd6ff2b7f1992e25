"""The templates without the cache, deployed into the stand-in, and the binary against what they made."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess

import boto3
import pytest
from machines import KEYS, REGION, binary, eventually, free_port, get, process, redis, service, stand_in, stop, understands
from tree import ROOT

ORDER = ["network", "data", "functions", "service"]


class Stacks:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.session = boto3.Session("stand-in", "stand-in", region_name=REGION)
        self.outputs: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def client(self, name: str):
        return self.session.client(name, endpoint_url=self.endpoint)

    def deploy(self, template: str, given: dict[str, str]) -> None:
        text = (ROOT / f"Deploy/aws/{template}.yaml").read_text()
        client = self.client("cloudformation")
        described = client.get_template_summary(TemplateBody=text)["Parameters"]
        values = self.outputs | given
        parameters = [
            {"ParameterKey": p["ParameterKey"], "ParameterValue": values[p["ParameterKey"]]}
            for p in described
            if p["ParameterKey"] in values
        ]
        client.create_stack(
            StackName=template, TemplateBody=text, Parameters=parameters, Capabilities=["CAPABILITY_IAM"]
        )
        stack = client.describe_stacks(StackName=template)["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack.get("StackStatusReason")
        self.outputs |= {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aws")
    with stand_in(folder) as endpoint:
        made = Stacks(endpoint)
        secrets = made.client("secretsmanager")
        certificate = made.client("acm").request_certificate(DomainName="track.example.net")["CertificateArn"]
        repository = made.client("ecr").create_repository(repositoryName="adtrack")["repository"]
        given = {
            "CertificateArn": certificate,
            "ImageUri": repository["repositoryUri"] + ":1",
            "ImageRepositoryArn": repository["repositoryArn"],
            "ReaderUrlSecretArn": secrets.create_secret(Name="r", SecretString="rediss://r:p@redis:6379")["ARN"],
            "WriterUrlSecretArn": secrets.create_secret(Name="w", SecretString="rediss://w:p@redis:6379")["ARN"],
        }
        for template in ORDER:
            made.deploy(template, given)
        made.given = given
        yield made


def test_streams_and_table_are_there(stacks) -> None:
    kinesis, dynamodb = stacks.client("kinesis"), stacks.client("dynamodb")
    for name in (stacks.outputs["EventStreamName"], stacks.outputs["CoreDataStreamName"]):
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        # Its mode the stand-in ignores; a rule looks at that.
        assert summary["RetentionPeriodHours"] == 168
    table = dynamodb.describe_table(TableName=stacks.outputs["EventTableName"])["Table"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_functions_read_the_streams(stacks) -> None:
    client = stacks.client("lambda")
    mappings = {m["FunctionArn"].rsplit(":", 1)[1]: m for m in client.list_event_source_mappings()["EventSourceMappings"]}
    assert set(mappings) == {stacks.outputs["ConsumerName"], stacks.outputs["UpdaterName"]}
    consumer = mappings[stacks.outputs["ConsumerName"]]
    assert consumer["EventSourceArn"] == stacks.outputs["EventStreamArn"]
    assert consumer["BatchSize"] == 500 and consumer["BisectBatchOnFunctionError"] is True
    assert consumer["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert consumer["DestinationConfig"]["OnFailure"]["Destination"] == stacks.outputs["EventDeadLettersArn"]
    assert mappings[stacks.outputs["UpdaterName"]]["EventSourceArn"] == stacks.outputs["CoreDataStreamArn"]
    variables = environment_of(stacks, "ConsumerName")
    assert variables == {"ADTRACK_TO": f"dynamodb:{stacks.outputs['EventTableName']}?region={REGION}"}
    assert list(environment_of(stacks, "UpdaterName")) == ["ADTRACK_REDIS"]


def environment_of(stacks, output: str) -> dict[str, str]:
    configuration = stacks.client("lambda").get_function_configuration(FunctionName=stacks.outputs[output])
    return configuration["Environment"]["Variables"]


def container_of(stacks) -> dict:
    ecs = stacks.client("ecs")
    (arn,) = ecs.list_task_definitions()["taskDefinitionArns"]
    return ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"][0]


def test_the_load_balancer_sends_to_the_task(stacks) -> None:
    groups = stacks.client("elbv2").describe_target_groups()["TargetGroups"]
    assert [(g["Port"], g["HealthCheckPath"], g["TargetType"]) for g in groups] == [(8080, "/health/check", "ip")]
    container = container_of(stacks)
    assert container["portMappings"][0]["containerPort"] == 8080
    listeners = stacks.client("elbv2").describe_listeners(
        LoadBalancerArn=stacks.client("elbv2").describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    )["Listeners"]
    assert {(listener["Port"], listener["Protocol"]) for listener in listeners} == {(443, "HTTPS"), (80, "HTTP")}


def task_environment(stacks) -> dict[str, str]:
    """As the task has it, less what is a place in its own file system."""
    variables = {entry["name"]: entry["value"] for entry in container_of(stacks)["environment"]}
    variables.pop("ADTRACK_JOURNAL_SLOTS")
    return variables | KEYS | {"AWS_ENDPOINT_URL": stacks.endpoint}


def test_the_binary_takes_the_tasks_settings(stacks, tmp_path) -> None:
    """All but the sink, where the binary has no Kinesis yet."""
    variables = task_environment(stacks)
    if not sends_to_kinesis(tmp_path):
        variables.pop("ADTRACK_SINK")
    with service(tmp_path, variables) as running:
        assert running.track("/event/212312")[0] == 200
        assert stop(running.running) == 0


def sends_to_kinesis(folder) -> bool:
    # The batch is looked at after the sinks, so it never comes to a start.
    words = [binary(), "serve", "--sink", "kinesis:x?region=eu-central-1", "--batch-age", "never"]
    refusal = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=20).stderr
    return "--batch-age" in refusal


@contextlib.contextmanager
def worker(command: str, stream: str, folder, environment: dict[str, str]):
    folder.mkdir()
    management = free_port()
    words = [binary(), command, "--from", f"kinesis:{stream}?region={REGION}", "--management-port", management]
    settings = {"PATH": os.environ["PATH"], "HOME": str(folder)} | KEYS | environment
    with process(words, folder / "log", cwd=folder, env=settings) as running:
        assert eventually(lambda: get(f"http://127.0.0.1:{management}/metrics")[0] == 200), (folder / "log").read_text()
        yield running


def test_a_program_goes_in_and_a_thousand_rows_come_out(stacks, tmp_path) -> None:
    """The whole journey through what the stacks made: stream, updater, Redis, service, stream, consumer, table."""
    if not (understands("consume") and understands("update") and sends_to_kinesis(tmp_path)):
        pytest.skip("this binary has no consume, update or Kinesis sink")
    kinesis, dynamodb = stacks.client("kinesis"), stacks.client("dynamodb")
    table = stacks.outputs["EventTableName"]
    # The stand-in would run the functions itself, with an engine for containers; here the commands take their part.
    functions = stacks.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.delete_event_source_mapping(UUID=mapping["UUID"])
    aws = {"AWS_ENDPOINT_URL": stacks.endpoint}
    program = {"programId": "stack", "programName": "Stack", "customerId": 7, "valid": True, "version": 1}
    record = {"PartitionKey": "stack", "Data": json.dumps(program).encode()}
    kinesis.put_records(StreamName=stacks.outputs["CoreDataStreamName"], Records=[record])
    with contextlib.ExitStack() as all:
        (tmp_path / "redis").mkdir()
        cache = all.enter_context(redis(tmp_path / "redis"))
        updater = all.enter_context(
            worker("update", stacks.outputs["CoreDataStreamName"], tmp_path / "u", aws | cache.environment("updater"))
        )
        (tmp_path / "s").mkdir()
        running = all.enter_context(service(tmp_path / "s", task_environment(stacks) | cache.environment("adtrack")))
        assert eventually(lambda: running.track("/event/stack")[0] == 200), running.log.read_text()
        consumer = all.enter_context(
            worker("consume", stacks.outputs["EventStreamName"], tmp_path / "c", aws | environment_of(stacks, "ConsumerName"))
        )
        ids = [json.loads(running.track("/event/stack")[1])["messageId"] for _ in range(1000)]

        def rows() -> dict[str, dict]:
            pages = dynamodb.get_paginator("scan").paginate(TableName=table)
            return {item["id"]["S"]: item for page in pages for item in page["Items"]}

        assert eventually(lambda: set(ids) <= set(rows()), within=60), f"{len(set(ids) & set(rows()))} of 1,000 rows"
        one = rows()[ids[0]]
        assert (one["program_id"]["S"], one["customer_id"]["N"], one["message_id"]["S"]) == ("stack", "7", ids[0])
        assert [stop(each) for each in (running.running, consumer, updater)] == [0, 0, 0]
