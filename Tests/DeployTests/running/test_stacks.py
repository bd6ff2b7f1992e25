"""The templates without the cache, deployed into the stand-in, and the binary against what they made."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request

import boto3
import pytest
from machines import REGION, binary, calls, eventually, free_port, get, keys, process, redis, service, stand_in, stop
from rule_book import kinesis_calls
from tree import ROOT, Tree

ORDER = ["network", "data", "functions", "service"]


class Stacks:
    def __init__(self, endpoint: str, folder) -> None:
        self.endpoint, self.folder = endpoint, folder
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
    with stand_in(folder, "--empty") as endpoint:
        made = Stacks(endpoint, folder)
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
    return variables | keys("service") | {"AWS_ENDPOINT_URL": stacks.endpoint}


def rights(stacks, role: str) -> set[str]:
    """What the binary may do as a role."""
    iam = stacks.client("iam")
    (name,) = [found["RoleName"] for found in iam.list_roles()["Roles"] if role in found["RoleName"]]
    documents = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    # The stand-in gives what a stack made as Python's text of it.
    documents = [ast.literal_eval(document) if isinstance(document, str) else document for document in documents]
    statements = [statement for document in documents for statement in document["Statement"]]
    return {action for statement in statements if statement["Sid"] == "Binary" for action in statement["Action"]}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


def put_program(stacks, name: str) -> None:
    program = {"programId": name, "programName": name.title(), "customerId": 7, "valid": True, "version": 1}
    record = {"PartitionKey": name, "Data": json.dumps(program).encode()}
    stacks.client("kinesis").put_records(StreamName=stacks.outputs["CoreDataStreamName"], Records=[record])


def track(running, program: str, times: int = 1000) -> set[str]:
    assert eventually(lambda: running.track(f"/event/{program}")[0] == 200, within=10), running.log.read_text()
    answers = [running.track(f"/event/{program}?orderId={number}") for number in range(times)]
    assert {status for status, _ in answers} == {200}
    return {json.loads(body)["messageId"] for _, body in answers}


def rows(stacks, program: str) -> dict[str, dict]:
    """Of the requests that were counted, by id."""
    pages = stacks.client("dynamodb").get_paginator("scan").paginate(TableName=stacks.outputs["EventTableName"])
    items = [item for page in pages for item in page["Items"] if item["program_id"]["S"] == program]
    return {item["id"]["S"]: item for item in items if item["parameters"]["M"]}


def journey(stacks, program: str, ids: set[str]) -> None:
    """The table has a row of each answer, and no other."""
    found = rows(stacks, program)
    assert len(ids) == 1000 and set(found) == ids, f"{len(set(found) & ids)} of {len(ids)} rows, {len(found)} in all"
    assert {row["parameters"]["M"]["orderId"]["S"] for row in found.values()} == {str(number) for number in range(1000)}
    for id, row in found.items():
        assert (row["customer_id"]["N"], row["message_id"]["S"], row["event_type"]["S"]) == ("7", id, "click")


@contextlib.contextmanager
def function(stacks, folder, name: str, environment: dict[str, str]):
    """The binary as the stack's function, under a stand-in for the Runtime API; yields what reads a stream through it."""
    entry = Tree().templates["functions"]["Resources"][name]["Properties"]["ImageConfig"]["EntryPoint"]
    words = [binary() if word == "adtrack" else word for word in entry]
    folder.mkdir()
    api = [sys.executable, ROOT / "Tests/StandIns/runtime_api.py", "--timeout", "30"]
    with process(api, folder / "api.log", stdin=subprocess.PIPE):
        port = eventually(lambda: re.search(r"^port (\d+)$", (folder / "api.log").read_text(), re.M))[1]
        address = f"127.0.0.1:{port}"
        settings = {"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": address, "AWS_ENDPOINT_URL": stacks.endpoint}
        settings |= environment_of(stacks, f"{name}Name") | keys(f"{name}-function") | environment
        with process(words, folder / "log", cwd=folder, env=settings) as running:

            def pump(stream: str) -> dict:
                wanted = {"endpoint": stacks.endpoint, "key": "poller", "secret": "stand-in", "region": REGION, "stream": stream}
                request = urllib.request.Request(f"http://{address}/_pump", json.dumps(wanted | {"batch": 500}).encode())
                urllib.request.urlopen(request, timeout=10).close()
                books = eventually(lambda: json.loads(get(f"http://{address}/_books")[1]), within=60)
                assert books, (folder / "log").read_text()
                return books

            yield pump
            assert stop(running) == 0, (folder / "log").read_text()


def test_a_thousand_rows_come_out_of_the_functions(stacks, cache, tmp_path) -> None:
    """What is deployed: stream, updater, Redis, service, stream, consumer, table, each as the stacks set it up."""
    put_program(stacks, "functions")
    with function(stacks, tmp_path / "u", "Updater", cache.environment("updater")) as pump:
        books = pump(stacks.outputs["CoreDataStreamName"])
        assert books["records"] >= 1 and books["failures"] == [], books
    (tmp_path / "s").mkdir()
    with service(tmp_path / "s", task_environment(stacks) | cache.environment("adtrack")) as running:
        ids = track(running, "functions")
        assert stop(running.running) == 0
    with function(stacks, tmp_path / "c", "Consumer", {}) as pump:
        books = pump(stacks.outputs["EventStreamName"])
        assert books["records"] >= 1000 and books["failures"] == [], books
    journey(stacks, "functions", ids)
    # The binary called what its roles may, and nothing else.
    assert calls(stacks.folder, "service") == rights(stacks, "TaskRole") == {"kinesis:ListShards", "kinesis:PutRecords"}
    assert calls(stacks.folder, "Consumer-function") == rights(stacks, "ConsumerRole") == {"dynamodb:PutItem"}
    assert calls(stacks.folder, "Updater-function") == rights(stacks, "UpdaterRole") == set()


@contextlib.contextmanager
def worker(stacks, folder, command: str, stream: str, environment: dict[str, str]):
    folder.mkdir()
    management = free_port()
    words = [binary(), command, "--from", f"kinesis:{stream}?region={REGION}", "--management-port", management]
    settings = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_ENDPOINT_URL": stacks.endpoint}
    settings |= keys(f"{command}-command") | environment
    with process(words, folder / "log", cwd=folder, env=settings) as running:
        ready = eventually(lambda: get(f"http://127.0.0.1:{management}/health/ready")[0] == 200)
        assert ready, (folder / "log").read_text()
        yield running, f"http://127.0.0.1:{management}/metrics"


def test_a_thousand_rows_come_out_of_the_commands(stacks, cache, tmp_path) -> None:
    """The same without functions: `adtrack update` and `adtrack consume` follow the streams."""
    # The stacks have functions, which need no leases; whoever runs the commands makes this table.
    stacks.client("dynamodb").create_table(
        TableName=stacks.outputs["EventTableName"] + "-leases", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )  # fmt: skip
    to = environment_of(stacks, "ConsumerName")
    (tmp_path / "s").mkdir()
    with (
        worker(stacks, tmp_path / "u", "update", stacks.outputs["CoreDataStreamName"], cache.environment("updater")) as (updater, _),
        service(tmp_path / "s", task_environment(stacks) | cache.environment("adtrack")) as running,
        worker(stacks, tmp_path / "c", "consume", stacks.outputs["EventStreamName"], to) as (consumer, page),
    ):
        # Pushed into a running service.
        assert running.track("/event/commands")[0] == 404
        put_program(stacks, "commands")
        ids = track(running, "commands")
        # The thousand, and the one that found out that the program is there.
        stored = re.compile(r'^adtrack_consume_events_total{result="stored"} (\d+)$', re.M)
        assert eventually(lambda: int(stored.search(get(page)[1])[1]) >= 1001, within=60), get(page)[1]
        journey(stacks, "commands", ids)
        assert [stop(each) for each in (running.running, consumer, updater)] == [0, 0, 0]
    tree = Tree()
    reading = kinesis_calls(tree, "StreamSource")
    assert calls(stacks.folder, "update-command") == reading
    assert calls(stacks.folder, "consume-command") == reading | {"dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"}
