"""Each mistake is planted in a copy of the tree, and has to be caught: by a rule of ours, or by the tool that is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from rule_book import RULES
from tree import ROOT, Tree

BIN = Path(sys.executable).parent


@dataclass
class Mistake:
    name: str
    file: str
    old: str
    new: str
    # A rule's name, or a tool's.
    catcher: str


AWS, K8S = "Deploy/aws", "Deploy/kubernetes"
MISTAKES = [
    # What linters miss.
    Mistake("no starting position", f"{AWS}/functions.yaml", "      StartingPosition: TRIM_HORIZON\n      BatchSize: 500\n", "      BatchSize: 500\n", "streams_are_read_without_loss"),
    Mistake("starts at the newest", f"{AWS}/functions.yaml", "TRIM_HORIZON", "LATEST", "streams_are_read_without_loss"),
    Mistake("filter that is no JSON", f"{AWS}/functions.yaml", "      BatchSize: 500\n", "      BatchSize: 500\n      FilterCriteria: {Filters: [{Pattern: '{\"data\": '}]}\n", "streams_are_read_without_loss"),
    Mistake("no partial responses", f"{AWS}/functions.yaml", "      FunctionResponseTypes: [ReportBatchItemFailures]\n", "", "streams_are_read_without_loss"),
    Mistake("gives up without a trace", f"{AWS}/functions.yaml", "        OnFailure: {Destination: !Ref EventDeadLettersArn}\n", "        {}\n", "streams_are_read_without_loss"),
    Mistake("engine that there is not", f"{AWS}/cache.yaml", 'EngineVersion: "7.1"', 'EngineVersion: "7.9"', "cache_is_closed"),
    Mistake("cache without TLS", f"{AWS}/cache.yaml", "      TransitEncryptionEnabled: true\n", "      TransitEncryptionEnabled: false\n", "cache_is_closed"),
    Mistake("container port", f"{AWS}/service.yaml", "PortMappings: [{ContainerPort: 8080,", "PortMappings: [{ContainerPort: 8081,", "health_checks_ask_what_the_server_answers"),
    Mistake("load balancer's port", f"{AWS}/service.yaml", "ContainerName: adtrack, ContainerPort: 8080", "ContainerName: adtrack, ContainerPort: 80", "health_checks_ask_what_the_server_answers"),
    Mistake("health path", f"{AWS}/service.yaml", "HealthCheckPath: /health/check", "HealthCheckPath: /healthz", "health_checks_ask_what_the_server_answers"),
    Mistake("key in the environment", f"{AWS}/functions.yaml", "        Variables:\n          ADTRACK_TO", "        Variables:\n          AWS_SECRET_ACCESS_KEY: abc\n          ADTRACK_TO", "templates_hold_no_secret"),
    Mistake("password in an address", f"{AWS}/functions.yaml", '!Sub "{{resolve:secretsmanager:${WriterUrlSecretArn}}}"', "rediss://updater:hunter2@cache:6379", "templates_hold_no_secret"),
    Mistake("public addresses", f"{AWS}/service.yaml", "AssignPublicIp: DISABLED", "AssignPublicIp: ENABLED", "nothing_of_the_service_is_public"),
    Mistake("public subnet", f"{AWS}/network.yaml", "MapPublicIpOnLaunch: false", "MapPublicIpOnLaunch: true", "nothing_of_the_service_is_public"),
    Mistake("writable root", f"{AWS}/service.yaml", "ReadonlyRootFilesystem: true", "ReadonlyRootFilesystem: false", "tasks_are_hardened"),
    Mistake("a fixed name", f"{AWS}/data.yaml", "      BillingMode: PAY_PER_REQUEST\n", "      BillingMode: PAY_PER_REQUEST\n      TableName: events\n", "templates_fit_any_region_and_account"),
    Mistake("a fixed region", f"{AWS}/functions.yaml", "?region=${AWS::Region}", "?region=eu-west-1", "templates_fit_any_region_and_account"),
    Mistake("a right too many", f"{AWS}/service.yaml", "Action: [kinesis:ListShards, kinesis:PutRecords]", "Action: [kinesis:ListShards, kinesis:PutRecords, kinesis:DeleteStream]", "roles_may_what_the_binary_calls_and_no_more"),
    Mistake("a right too few", f"{AWS}/functions.yaml", "Action: [dynamodb:PutItem]", "Action: [dynamodb:GetItem]", "roles_may_what_the_binary_calls_and_no_more"),
    Mistake("a right that the README forgets", "README.md", "`kinesis:ListShards`, `kinesis:PutRecords`", "`kinesis:PutRecords`", "readme_names_the_rights_of_each_command"),
    Mistake("port of another command", "Deploy/compose/prometheus.yaml", "consumer:9091", "consumer:9090", "health_checks_ask_what_the_server_answers"),
    Mistake("on everything", f"{AWS}/service.yaml", "Resource: !Ref EventStreamArn", 'Resource: "*"', "roles_may_what_the_binary_calls_and_no_more"),
    Mistake("no time to live", f"{AWS}/data.yaml", "AttributeName: expires_at, Enabled: true", "AttributeName: expires_at, Enabled: false", "data_is_kept"),
    Mistake("table goes with its stack", f"{AWS}/data.yaml", "    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n", "    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Delete\n", "data_is_kept"),
    Mistake("killed while it drains, ECS", f"{AWS}/service.yaml", "          StopTimeout: 60\n          LogConfiguration:", "          StopTimeout: 20\n          LogConfiguration:", "times_stand_in_the_right_order"),
    Mistake("deregistered too late", f"{AWS}/service.yaml", 'deregistration_delay.timeout_seconds, Value: "30"', 'deregistration_delay.timeout_seconds, Value: "300"', "times_stand_in_the_right_order"),
    Mistake("connections kept too long", f"{AWS}/service.yaml", 'idle_timeout.timeout_seconds, Value: "60"', 'idle_timeout.timeout_seconds, Value: "120"', "times_stand_in_the_right_order"),
    Mistake("killed while it drains, compose", "Deploy/compose.yaml", "stop_grace_period: 35s", "stop_grace_period: 10s", "times_stand_in_the_right_order"),
    Mistake("killed while it drains, systemd", "Deploy/systemd/adtrack.service", "TimeoutStopSec=35", "TimeoutStopSec=20", "times_stand_in_the_right_order"),
    Mistake("killed while it drains, Kubernetes", f"{K8S}/stateful-set.yaml", "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 30", "times_stand_in_the_right_order"),
    Mistake("setting that nobody reads", f"{K8S}/configuration.yaml", "ADTRACK_SINK:", "ADTRACK_SINKS:", "every_environment_name_is_read"),
    Mistake("setting left out", "Deploy/systemd/adtrack.env", "#ADTRACK_STALE_MAX=24h\n", "", "environment_file_has_every_setting"),
    Mistake("default that is none", "Deploy/systemd/adtrack.env", "#ADTRACK_CACHE_TTL=10m", "#ADTRACK_CACHE_TTL=1h", "environment_file_shows_the_defaults"),
    Mistake("parent forgets a parameter", f"{AWS}/adtrack.yaml", "        EventTableArn: !GetAtt Data.Outputs.EventTableArn\n", "", "parent_fits_its_children"),
    Mistake("parent asks for no output", f"{AWS}/adtrack.yaml", "Data.Outputs.EventTableArn", "Data.Outputs.TableArn", "parent_fits_its_children"),
    Mistake("a command too many", "Deploy/compose/users.acl", "+hgetall +xrange", "+hgetall +flushall +xrange", "users_of_redis_may_what_adtrack_sends"),
    Mistake("metric that there is not, alert", "Deploy/monitoring/alerts.yaml", "adtrack_sink_breaker_state", "adtrack_sink_circuit_state", "queries_name_metrics_that_exist"),
    Mistake("metric that there is not, dashboard", "Deploy/monitoring/dashboard.json", "adtrack_l1_entries", "adtrack_cache_entries", "queries_name_metrics_that_exist"),
    Mistake("alert without a paragraph", "Deploy/RUNBOOK.md", "### AdtrackSlow\n", "### Slowness\n", "every_alert_is_tested_and_explained"),
    Mistake("alarm that tells nobody", f"{AWS}/watch.yaml", "AlarmActions: [!Ref Topic]", "AlarmActions: []", "alarms_of_the_cloud_tell_somebody"),
    Mistake("dashboard that is no JSON", f"{AWS}/watch.yaml", '{"widgets": [', '{"widgets": [,', "alarms_of_the_cloud_tell_somebody"),
    Mistake("manifest that is not applied", f"{K8S}/kustomization.yaml", "  - disruption-budget.yaml\n", "", "kustomization_lists_every_manifest"),
    Mistake("policy that finds no pod", f"{K8S}/network-policy.yaml", "app.kubernetes.io/name: adtrack", "app.kubernetes.io/name: adtrak", "pods_are_hardened_and_found"),
    Mistake("image as root", "Deploy/Dockerfile", "USER 10001:10001\n", "USER 0:0\n", "image_is_small_and_not_root"),
    Mistake("port open to the network", "Deploy/compose.yaml", '"127.0.0.1:9090:9090"', '"9090:9090"', "compose_is_closed"),
    Mistake("journal outside of the state", "Deploy/systemd/adtrack.env", "ADTRACK_JOURNAL=/var/lib/adtrack/journal", "ADTRACK_JOURNAL=/srv/journal", "unit_writes_where_it_may"),
    Mistake("figure that nobody measured", "Deploy/RUNBOOK.md", "| 82,653 | measured |", "| 250,000 | measured |", "sizing_has_only_measured_figures"),
    Mistake("cost of another day", "Deploy/aws/cost", "STREAM_HOUR, STREAM_IN_GB", "STREAM_HOUR, STREAM_IN_GB", "costs_are_what_the_script_says"),
    # What the linters are for.
    Mistake("CPU and memory that don't go together", f"{AWS}/service.yaml", 'small: {Cpu: "1024", Memory: "2048"', 'small: {Cpu: "1024", Memory: "65536"', "sizes_are_those_of_fargate"),
    Mistake("property that there is not", f"{AWS}/data.yaml", "BillingMode: PAY_PER_REQUEST", "BilingMode: PAY_PER_REQUEST", "cfn-lint"),
    Mistake("value that there is not", f"{AWS}/data.yaml", "PAY_PER_REQUEST", "PAY_PER_REQUESTS", "cfn-lint"),
    Mistake("reference to nothing", f"{AWS}/functions.yaml", "!Ref ImageUri", "!Ref ImageUrl", "cfn-lint"),
    Mistake("attribute that there is not", f"{AWS}/data.yaml", "!GetAtt EventTable.Arn", "!GetAtt EventTable.Name", "cfn-lint"),
    Mistake("batch too large", f"{AWS}/functions.yaml", "BatchSize: 500", "BatchSize: 50000", "cfn-lint"),
    Mistake("window too long", f"{AWS}/functions.yaml", "MaximumBatchingWindowInSeconds: 1", "MaximumBatchingWindowInSeconds: 301", "cfn-lint"),
    Mistake("key without an attribute", f"{AWS}/data.yaml", "KeySchema: [{AttributeName: id,", "KeySchema: [{AttributeName: key,", "cfn-lint"),
    Mistake("Fargate in bridge mode", f"{AWS}/service.yaml", "NetworkMode: awsvpc", "NetworkMode: bridge", "cfn-lint"),
    Mistake("action that there is not", f"{AWS}/service.yaml", "kinesis:PutRecords", "kinesis:PutRecordses", "cfn-lint"),
    Mistake("everything allowed", f"{AWS}/functions.yaml", "Action: [dynamodb:PutItem]\n                Resource: !Ref EventTableArn", 'Action: ["*"]\n                Resource: "*"', "checkov"),
    Mistake("queue in the open", f"{AWS}/network.yaml", "- {Description: requests, IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: 0.0.0.0/0}", "- {Description: requests, IpProtocol: tcp, FromPort: 22, ToPort: 22, CidrIp: 0.0.0.0/0}", "checkov"),
    Mistake("image without a health check", "Deploy/Dockerfile", "HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 CMD [\"health-check\"]\n", "", "checkov"),
    Mistake("no pinned base", "Deploy/Dockerfile", "FROM docker.io/library/debian:12-slim AS", "FROM docker.io/library/debian AS", "hadolint"),
    Mistake("key of compose that there is not", "Deploy/compose.yaml", "    depends_on:\n", "    depend_on:\n", "compose"),
    Mistake("field of a pod that there is not", f"{K8S}/stateful-set.yaml", "readinessProbe:", "readynessProbe:", "kubernetes"),
    Mistake("wrong type", f"{K8S}/horizontal-autoscaler.yaml", "minReplicas: 2", "minReplicas: two", "kubernetes"),
    Mistake("query that is none", "Deploy/monitoring/alerts.yaml", "adtrack_connections > 8000", "adtrack_connections > > 8000", "promtool"),
    Mistake("alert that never fires", "Deploy/monitoring/alerts.yaml", "adtrack_sink_oldest_event_age_seconds > 60", "adtrack_sink_oldest_event_age_seconds > 6000", "promtool"),
    Mistake("key of a unit that there is not", "Deploy/systemd/adtrack.service", "ProtectHome=yes", "ProtectHomes=yes", "systemd"),
    Mistake("unit with all rights", "Deploy/systemd/adtrack.service", "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\n# The limit of descriptors is raised to the hard one at the start.\nSystemCallFilter=prlimit64 sched_getaffinity sched_setaffinity\n", "", "units"),
    Mistake("variable that is not quoted", "Deploy/container/in-journal-slot", 'mkdir -p "$root/$slot"', "mkdir -p $root/$slot", "shellcheck"),
]  # fmt: skip


def plant(mistake: Mistake, folder: Path) -> Path:
    shutil.copytree(ROOT / "Deploy", folder / "Deploy")
    (folder / "Sources").symlink_to(ROOT / "Sources")
    shutil.copy(ROOT / "README.md", folder)
    file = folder / mistake.file
    text = file.read_text()
    assert mistake.old in text, f"there is nothing to make the mistake in: {mistake.old}"
    if mistake.name == "cost of another day":
        mistake.old, mistake.new = "0.04, 0.08, 0.04, 0.10", "0.04, 0.09, 0.04, 0.10"
    file.write_text(text.replace(mistake.old, mistake.new))
    return folder


@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m.catcher in RULES], ids=lambda m: m.name)
def test_a_rule_catches(mistake: Mistake, tmp_path: Path) -> None:
    assert list(RULES[mistake.catcher](Tree(plant(mistake, tmp_path)))) != []


def run(*words, cwd: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"BC_SKIP_MAPPING": "TRUE"}
    return subprocess.run([str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True)


def complaint(tool: str, folder: Path) -> str:
    """What the tool says of the tree, as Deploy/check calls it; nothing when it is content."""
    calls = {
        "hadolint": [BIN / "hadolint", "--failure-threshold", "style", "Deploy/Dockerfile"],
        "compose": [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "Deploy/compose.yaml"],
        "kubernetes": [BIN / "kubernetes-validate", "--strict", "--quiet", "--kubernetes-version", "1.33", *sorted(p for p in (folder / K8S).glob("*.yaml") if p.name != "kustomization.yaml")],
        "promtool": [ROOT / ".build/deploy/bin/promtool", "test", "rules", "Deploy/monitoring/alerts.test.yaml"],
        "shellcheck": ["shellcheck", "Deploy/container/health-check", "Deploy/container/in-journal-slot"],
    }  # fmt: skip
    if tool in ("systemd", "units"):
        unit = folder / "adtrack.service"
        text = (folder / "Deploy/systemd/adtrack.service").read_text()
        unit.write_text(text.replace("/usr/local/bin/adtrack", "/bin/true"))
        if tool == "systemd":
            return run("systemd-analyze", "verify", "--man=no", unit, cwd=folder).stderr
        score = run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", unit, cwd=folder)
        return "" if score.returncode == 0 else score.stdout
    done = run(*calls[tool], cwd=folder)
    return "" if done.returncode == 0 else done.stdout + done.stderr


SINGLE = {"hadolint", "compose", "kubernetes", "promtool", "systemd", "units", "shellcheck"}


@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m.catcher in SINGLE], ids=lambda m: m.name)
def test_a_tool_catches(mistake: Mistake, tmp_path: Path) -> None:
    clean, planted = tmp_path / "clean", tmp_path / "planted"
    shutil.copytree(ROOT / "Deploy", clean / "Deploy")
    planted.mkdir()
    assert complaint(mistake.catcher, clean) == ""
    assert complaint(mistake.catcher, plant(mistake, planted)) != ""


# These take seconds to begin: one run over all mistakes.


@pytest.fixture(scope="module")
def cfn_lint(tmp_path_factory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("cfn-lint")
    found: dict[str, list[str]] = {"clean": []}
    for index, mistake in enumerate(m for m in MISTAKES if m.catcher == "cfn-lint"):
        text = (ROOT / mistake.file).read_text()
        assert mistake.old in text
        (folder / f"{index}.yaml").write_text(text.replace(mistake.old, mistake.new))
        found[mistake.name] = []
    names = [m.name for m in MISTAKES if m.catcher == "cfn-lint"]
    for file in (ROOT / AWS).glob("*.yaml"):
        shutil.copy(file, folder / f"clean-{file.name}")
    done = run(BIN / "cfn-lint", "--format", "json", "--config-file", ROOT / "Tests/DeployTests/cfn-lint.yaml", "--", *sorted(folder.iterdir()), cwd=folder)
    for match in json.loads(done.stdout):
        stem = Path(match["Filename"]).stem
        found["clean" if stem.startswith("clean") else names[int(stem)]].append(match["Message"])
    return found


@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m.catcher == "cfn-lint"], ids=lambda m: m.name)
def test_cfn_lint_catches(mistake: Mistake, cfn_lint) -> None:
    assert cfn_lint["clean"] == []
    assert cfn_lint[mistake.name] != []


@pytest.fixture(scope="module")
def checkov(tmp_path_factory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("checkov")
    names = [m.name for m in MISTAKES if m.catcher == "checkov"]
    for index, mistake in enumerate(m for m in MISTAKES if m.catcher == "checkov"):
        text = (ROOT / mistake.file).read_text()
        assert mistake.old in text
        place = folder / str(index) / Path(mistake.file).name
        place.parent.mkdir()
        place.write_text(text.replace(mistake.old, mistake.new))
    words = ["--config-file", ROOT / "Tests/DeployTests/checkov.yaml", "--skip-download", "--directory", folder, "--output", "json"]
    done = run(BIN / "checkov", *words, cwd=folder)
    reports = json.loads(done.stdout)
    found: dict[str, list[str]] = {name: [] for name in names}
    for report in reports if isinstance(reports, list) else [reports]:
        for failure in report["results"]["failed_checks"]:
            index = Path(failure["file_path"]).parts[1]
            found[names[int(index)]].append(failure["check_id"])
    return found


@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m.catcher == "checkov"], ids=lambda m: m.name)
def test_checkov_catches(mistake: Mistake, checkov) -> None:
    assert checkov[mistake.name] != []


def test_every_mistake_has_a_catcher() -> None:
    assert all(m.catcher in {*RULES, *SINGLE, "cfn-lint", "checkov"} for m in MISTAKES)
    assert len(MISTAKES) >= 15
    # Every rule has been seen to fail.
    assert {m.catcher for m in MISTAKES} >= set(RULES)
