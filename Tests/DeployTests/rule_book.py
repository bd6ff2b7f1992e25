"""Rules that no linter knows: each takes a tree and yields what is wrong with it, in sentences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

from tree import Tree, seconds, walk

Rule = Callable[[Tree], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    RULES[check.__name__] = check
    return check


# What the image's own scripts read.
SCRIPT_NAMES = {"ADTRACK_JOURNAL_SLOTS"}


# Settings.


@rule
def environment_file_has_every_setting(tree: Tree) -> Iterator[str]:
    lines = tree.text("Deploy/systemd/adtrack.env").splitlines()
    names = re.findall(r"^#?(ADTRACK_[A-Z_]+)=", "\n".join(lines), re.M)
    for name in sorted(set(tree.serve_settings) - set(names)):
        yield f"adtrack.env says nothing of {name}"
    for name in sorted(set(names) - set(tree.serve_settings)):
        yield f"adtrack.env names {name}, which adtrack serve does not read"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"adtrack.env names {name} twice"


@rule
def environment_file_shows_the_defaults(tree: Tree) -> Iterator[str]:
    for name, shown in re.findall(r"^#(ADTRACK_[A-Z_]+)=(.*)$", tree.text("Deploy/systemd/adtrack.env"), re.M):
        default = tree.readme_defaults.get(tree.settings.get(name, ""))
        if default is None or not shown:
            continue
        if shown != default:
            yield f"adtrack.env shows {name}={shown}, the README's default is {default}"


@rule
def every_environment_name_is_read(tree: Tree) -> Iterator[str]:
    known = set(tree.settings) | SCRIPT_NAMES
    files = ["Deploy/Dockerfile", "Deploy/compose.yaml"]
    files += [str(file.relative_to(tree.root)) for folder in ("aws", "kubernetes") for file in sorted((tree.deploy / folder).rglob("*.yaml"))]
    for file in files:
        for name in sorted(set(re.findall(r"\bADTRACK_[A-Z_]+\b", tree.text(file))) - known):
            yield f"{file} names {name}, which nobody reads"
    scripts = "".join(file.read_text() for file in sorted((tree.deploy / "container").iterdir()))
    for name in sorted(SCRIPT_NAMES):
        if name not in scripts:
            yield f"no script of the image reads {name}"


# Health and ports.


@rule
def health_checks_ask_what_the_server_answers(tree: Tree) -> Iterator[str]:
    alive, ready = "/health/check", "/health/ready"
    for path in (alive, ready):
        if path not in tree.routes:
            yield f"the server has no {path}"
    public, management = tree.default("port"), tree.default("managementPort")

    for stem, name, group in tree.resources("AWS::ElasticLoadBalancingV2::TargetGroup"):
        if group.get("HealthCheckPath") != alive:
            yield f"{stem} {name} asks {group.get('HealthCheckPath')}, not {alive}"
        if group.get("HealthCheckPort") not in ("traffic-port", str(public)) or group.get("Port") != public:
            yield f"{stem} {name} asks port {group.get('HealthCheckPort')} and sends to {group.get('Port')}, not {public}"
        if group.get("HealthCheckTimeoutSeconds", 5) >= group.get("HealthCheckIntervalSeconds", 30):
            yield f"{stem} {name} asks again before its check has timed out"
    for stem, name, task in tree.resources("AWS::ECS::TaskDefinition"):
        ports = [mapping["ContainerPort"] for mapping in task["ContainerDefinitions"][0]["PortMappings"]]
        if ports != [public]:
            yield f"{stem} {name} opens {ports}, the server {public}"
        command = task["ContainerDefinitions"][0].get("HealthCheck", {}).get("Command")
        if command != ["CMD", "health-check"]:
            yield f"{stem} {name} checks its health with {command}"
    for stem, name, service in tree.resources("AWS::ECS::Service"):
        for balancer in service["LoadBalancers"]:
            if balancer["ContainerPort"] != public:
                yield f"{stem} {name}: the load balancer sends to {balancer['ContainerPort']}, the server opens {public}"

    container = tree.manifest("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    if {port["name"]: port["containerPort"] for port in container["ports"]} != {"http": public, "management": management}:
        yield "the pod's ports are not the server's"
    for probe, path in (("startupProbe", alive), ("livenessProbe", alive), ("readinessProbe", ready)):
        if container.get(probe, {}).get("httpGet") != {"path": path, "port": "http"}:
            yield f"the pod's {probe} does not ask {path} on its public port"

    script = tree.text("Deploy/container/health-check")
    if f"ADTRACK_PORT:-{public}" not in script or f"2:-{alive}" not in script:
        yield "health-check asks another port or path than the server's"
    if f"EXPOSE {public}" not in tree.text("Deploy/Dockerfile"):
        yield "the image exposes another port than the server's"
    for job in tree.yaml("Deploy/compose/prometheus.yaml")["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            host, port = target.split(":")
            command = tree.compose_command(host)
            if int(port) != tree.management_port(command):
                yield f"Prometheus asks {target}, the management port of {command} is {tree.management_port(command)}"
    for name, service in tree.compose["services"].items():
        test = service.get("healthcheck", {}).get("test", [])
        if "health-check" in test and int(test[2]) != tree.management_port(tree.compose_command(name)):
            yield f"compose {name} asks port {test[2]}, the management port is {tree.management_port(tree.compose_command(name))}"


# Times.


@rule
def times_stand_in_the_right_order(tree: Tree) -> Iterator[str]:
    drain = tree.longest_drain
    stops: list[float] = []
    for stem, name, task in tree.resources("AWS::ECS::TaskDefinition"):
        stop = task["ContainerDefinitions"][0].get("StopTimeout", 30)
        stops.append(stop)
        if not drain < stop <= 120:
            yield f"{stem} {name}: StopTimeout {stop} s is not between the drain's {drain} s and Fargate's 120 s"
    for stem, name, group in tree.resources("AWS::ElasticLoadBalancingV2::TargetGroup"):
        attributes = {a["Key"]: a["Value"] for a in group["TargetGroupAttributes"]}
        delay = float(attributes.get("deregistration_delay.timeout_seconds", 300))
        if delay > min(stops):
            yield f"{stem} {name}: deregistration takes {delay} s, longer than StopTimeout {min(stops)} s"
    for stem, name, balancer in tree.resources("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        attributes = {a["Key"]: a["Value"] for a in balancer["LoadBalancerAttributes"] if "Key" in a}
        idle = float(attributes.get("idle_timeout.timeout_seconds", 60))
        for _, _, task in tree.resources("AWS::ECS::TaskDefinition"):
            environment = {e["Name"]: e["Value"] for e in task["ContainerDefinitions"][0]["Environment"]}
            ours = seconds(environment.get("ADTRACK_IDLE_TIMEOUT", tree.readme_defaults["idle-timeout"]))
            if idle >= ours:
                yield f"{stem} {name}: the load balancer keeps connections {idle} s, the server closes them after {ours} s"

    for name, service in tree.compose["services"].items():
        if service.get("image") == "adtrack":
            grace = seconds(service.get("stop_grace_period", "10s"))
            if grace <= drain:
                yield f"compose {name}: stop_grace_period {grace} s does not exceed the drain's {drain} s"

    for file in sorted((tree.deploy / "systemd").glob("*.service")):
        stop = re.search(r"^TimeoutStopSec=(\S+)$", file.read_text(), re.M)
        if not stop or seconds(stop[1]) <= drain:
            yield f"{file.name}: TimeoutStopSec does not exceed the drain's {drain} s"

    pod = tree.manifest("StatefulSet")["spec"]["template"]["spec"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    if pod["terminationGracePeriodSeconds"] - before <= drain:
        yield f"the pod's grace less its preStop of {before} s does not exceed the drain's {drain} s"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        settings = pod["containers"][0].get(probe, {})
        if settings.get("timeoutSeconds", 1) > settings.get("periodSeconds", 10):
            yield f"the pod's {probe} asks again before it has timed out"

    for file in [tree.deploy / "systemd/adtrack.env", *(tree.deploy / "aws").glob("*.yaml"), *(tree.deploy / "kubernetes").glob("*.yaml")]:
        for delay in re.findall(r"ADTRACK_DRAIN_DELAY[=:] ?\"?(\w+)", file.read_text()):
            if seconds(delay) >= drain:
                yield f"{file.name}: a drain delay of {delay} leaves nothing of the drain's {drain} s"


# Rights on AWS.



def kinesis_calls(tree: Tree, room: str) -> set[str]:
    """Actions of the client's methods that a room's sources use; a method is named after its action."""
    client = tree.text("Sources/AWSTransport/KinesisClient.swift") + tree.text("Sources/AWSTransport/KinesisReading.swift")
    used = [name for name in re.findall(r"public func (\w+)\(", client) if f".{name}(" in tree.swift(room)]
    actions = {name[0].upper() + name[1:] for name in used}
    assert all(f'"{action}"' in client for action in actions), f"a method is not named after its action: {actions}"
    return {f"kinesis:{action}" for action in actions}


def dynamodb_calls(tree: Tree, file: str) -> set[str]:
    """Actions that a file of the events' table asks for, by itself or through `scan`."""
    source = tree.text(f"Sources/EventStore/{file}.swift")
    found = set(re.findall(r'\.ask\(\s*"(\w+)"', source)) | ({"Scan"} if ".scan(" in source else set())
    return {f"dynamodb:{action}" for action in found}


def sqs_calls(tree: Tree) -> set[str]:
    """Actions that the queue of dead letters asks for."""
    return {f"sqs:{action}" for action in re.findall(r'"AmazonSQS\.(\w+)"', tree.text("Sources/AWSTransport/SQSClient.swift"))}


def calls(tree: Tree) -> dict[tuple[str, str], set[str]]:
    """What the binary calls as each role of the stacks. The functions get their records from Lambda."""
    return {
        ("service", "TaskRole"): kinesis_calls(tree, "StreamSink"),
        ("functions", "ConsumerRole"): dynamodb_calls(tree, "DynamoDBEventTable"),
        ("functions", "UpdaterRole"): set(),
    }


# What the platform does in a role's name.
POLLER = {
    "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator",
    "kinesis:ListShards",
}  # fmt: skip
WRITE_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
PLATFORM = {
    "Journal": {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"},
    "MetricsAgent": WRITE_LOGS | {"logs:DescribeLogStreams"},
    "Poller": POLLER,
    "FailureDestination": {"sqs:SendMessage"},
    "Logs": WRITE_LOGS,
    "Network": {
        "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
    },
    "RegistryLogin": {"ecr:GetAuthorizationToken"},
    "Image": {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
    "RedisAddress": {"secretsmanager:GetSecretValue"},
}  # fmt: skip
# Actions of AWS that know no resources.
EVERYWHERE = {"RegistryLogin", "Network"}


def statements(tree: Tree):
    """(template, role, statement) of every policy of a role of the stacks."""
    for stem, name, role in tree.resources("AWS::IAM::Role"):
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield stem, name, statement
    for stem, _, policy in tree.resources("AWS::IAM::RolePolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            yield stem, policy["RoleName"]["Ref"], statement


@rule
def roles_may_what_the_binary_calls_and_no_more(tree: Tree) -> Iterator[str]:
    called = calls(tree)
    granted: dict[tuple[str, str], set[str]] = {key: set() for key in called}
    for stem, role, statement in statements(tree):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        sid = statement.get("Sid")
        if any("*" in action for action in actions):
            yield f"{stem} {role}: {actions} has a wildcard"
        if statement["Resource"] == "*" and sid not in EVERYWHERE:
            yield f"{stem} {role}: {sid} is allowed on everything"
        if sid == "Binary":
            granted[stem, role] |= set(actions)
        elif sid in PLATFORM and set(actions) != PLATFORM[sid]:
            yield f"{stem} {role}: {sid} is {sorted(actions)}, not {sorted(PLATFORM[sid])}"
        elif sid not in PLATFORM and (stem, role) in called:
            yield f"{stem} {role} has a statement {sid} that nobody asked for"
    for (stem, role), actions in called.items():
        if granted[stem, role] != actions:
            yield f"{stem} {role} may {sorted(granted[stem, role])}, the binary calls {sorted(actions)}"


@rule
def readme_names_the_rights_of_each_command(tree: Tree) -> Iterator[str]:
    """For whoever runs the commands themselves, outside of the stacks."""
    readme = " ".join(tree.text("README.md").split())
    words = {
        "a sink": kinesis_calls(tree, "StreamSink"),
        "a source": kinesis_calls(tree, "StreamSource"),
        "the table": dynamodb_calls(tree, "DynamoDBEventTable"),
        "its leases": dynamodb_calls(tree, "DynamoDBLeases"),
        "a report": dynamodb_calls(tree, "EventReport+DynamoDB"),
        "dead letters in SQS": sqs_calls(tree),
    }
    for what, actions in words.items():
        named = re.search(rf"\| {what} \| ([^|]*) \|", readme)
        found = set(re.findall(r"`(\w+:\w+)`", named[1])) if named else set()
        if found != actions:
            yield f"the README names {sorted(found)} as the rights of {what}, the binary calls {sorted(actions)}"


# The templates.

NAMES = {
    "AWS::Kinesis::Stream": ["Name"], "AWS::DynamoDB::Table": ["TableName"], "AWS::SQS::Queue": ["QueueName"],
    "AWS::IAM::Role": ["RoleName"], "AWS::Lambda::Function": ["FunctionName"], "AWS::Logs::LogGroup": ["LogGroupName"],
    "AWS::ECS::Cluster": ["ClusterName"], "AWS::ECS::Service": ["ServiceName"], "AWS::ECS::TaskDefinition": ["Family"],
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ["Name"], "AWS::ElasticLoadBalancingV2::TargetGroup": ["Name"],
    "AWS::ElastiCache::ReplicationGroup": ["ReplicationGroupId"], "AWS::SNS::Topic": ["TopicName"],
    "AWS::SecretsManager::Secret": ["Name"], "AWS::EC2::SecurityGroup": ["GroupName"],
    "AWS::CloudWatch::Alarm": ["AlarmName"], "AWS::CloudWatch::Dashboard": ["DashboardName"],
}  # fmt: skip


@rule
def templates_fit_any_region_and_account(tree: Tree) -> Iterator[str]:
    for kind, properties in NAMES.items():
        for stem, name, resource in tree.resources(kind):
            for property in properties:
                if isinstance(resource.get(property), str):
                    yield f"{stem} {name} has the fixed name {resource[property]}"
    for file in sorted((tree.deploy / "aws").glob("*.yaml")):
        text = file.read_text()
        for region in sorted(set(re.findall(r"\b(?:af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-\d\b", text))):
            yield f"{file.name} names the region {region}"
        for account in sorted(set(re.findall(r"(?<![\d.])\d{12}(?![\d.])", text))):
            yield f"{file.name} names the account {account}"
        for arn in sorted(set(re.findall(r"arn:aws[a-z-]*:", text))):
            yield f"{file.name} names the partition {arn}"


@rule
def templates_hold_no_secret(tree: Tree) -> Iterator[str]:
    forbidden = re.compile(r"AKIA|ASIA|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN")
    for file in sorted((tree.deploy / "aws").glob("*.yaml")):
        if forbidden.search(file.read_text()):
            yield f"{file.name} holds a key"
        for url in re.findall(r"rediss?://[^\s\"']+", file.read_text()):
            if ":" in url.split("://")[1] and "{{resolve:" not in url:
                yield f"{file.name} holds a password in {url}"
    for stem, name, task in tree.resources("AWS::ECS::TaskDefinition"):
        for container in (c for c in task["ContainerDefinitions"] if "Name" in c):
            if any(entry["Name"] == "ADTRACK_REDIS" for entry in container.get("Environment", [])):
                yield f"{stem} {name} passes Redis' address in the open"


@rule
def nothing_of_the_service_is_public(tree: Tree) -> Iterator[str]:
    for stem, name, service in tree.resources("AWS::ECS::Service"):
        if service["NetworkConfiguration"]["AwsvpcConfiguration"].get("AssignPublicIp") != "DISABLED":
            yield f"{stem} {name} gives its tasks public addresses"
        if service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"] != {"Ref": "PrivateSubnetIds"}:
            yield f"{stem} {name} runs in public subnets"
    for stem, name, subnet in tree.resources("AWS::EC2::Subnet"):
        if subnet.get("MapPublicIpOnLaunch") is not False:
            yield f"{stem} {name} gives public addresses"
    for stem, name, route in tree.resources("AWS::EC2::Route"):
        if route["RouteTableId"] != {"Ref": "PublicRoutes"}:
            yield f"{stem} {name} leads out of a private subnet"
    for stem, name, group in tree.resources("AWS::EC2::SecurityGroup"):
        for entry in group.get("SecurityGroupIngress", []):
            if entry.get("CidrIp") and (name != "LoadBalancerSecurityGroup" or entry["ToPort"] not in (80, 443)):
                yield f"{stem} {name} lets addresses in: {entry}"


@rule
def tasks_are_hardened(tree: Tree) -> Iterator[str]:
    for stem, name, task in tree.resources("AWS::ECS::TaskDefinition"):
        container = task["ContainerDefinitions"][0]
        if container.get("ReadonlyRootFilesystem") is not True:
            yield f"{stem} {name}: the root file system can be written"
        if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(container.get("User", ""))):
            yield f"{stem} {name} runs as {container.get('User')}"
        if container.get("LinuxParameters", {}).get("Capabilities", {}).get("Drop") != ["ALL"]:
            yield f"{stem} {name} keeps capabilities"
        if container.get("Privileged"):
            yield f"{stem} {name} is privileged"


# Least and most memory by CPU, in steps of 1,024: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
FARGATE = {1024: (2048, 8192), 2048: (4096, 16384), 4096: (8192, 30720)}


@rule
def sizes_are_those_of_fargate(tree: Tree) -> Iterator[str]:
    for name, size in tree.templates["service"]["Mappings"]["Sizes"].items():
        cpu, memory = int(size["Cpu"]), int(size["Memory"])
        least, most = FARGATE.get(cpu, (0, -1))
        if not least <= memory <= most or memory % 1024:
            yield f"Fargate has no task of {cpu} CPU units and {memory} MiB ({name})"
        if int(size["EventLoops"]) * 1024 != cpu:
            yield f"{name} has {size['EventLoops']} event loops on {cpu} CPU units"


@rule
def streams_are_read_without_loss(tree: Tree) -> Iterator[str]:
    for stem, name, source in tree.resources("AWS::Lambda::EventSourceMapping"):
        if source.get("StartingPosition") != "TRIM_HORIZON":
            yield f"{stem} {name} starts at {source.get('StartingPosition')}: what was there before is skipped"
        if not 1 <= source.get("BatchSize", 100) <= 10_000:
            yield f"{stem} {name}: a batch of {source.get('BatchSize')}"
        if source.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{stem} {name} takes no partial response: one bad record repeats its whole batch"
        if source.get("BisectBatchOnFunctionError") is not True:
            yield f"{stem} {name} does not bisect"
        if not 1 <= source.get("MaximumRetryAttempts", -1) <= 100:
            yield f"{stem} {name} tries a poisoned batch until it expires"
        if not source.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
            yield f"{stem} {name} gives up without a trace"
        for filter in source.get("FilterCriteria", {}).get("Filters", []):
            try:
                json.loads(filter["Pattern"])
            except ValueError as error:
                yield f"{stem} {name}: a filter is no JSON: {error}"
    functions = {name: function for _, name, function in tree.resources("AWS::Lambda::Function")}
    for _, name, function in tree.resources("AWS::Lambda::Function"):
        if function["ImageConfig"]["EntryPoint"][1] not in ("_HANDLER=consume", "_HANDLER=update"):
            yield f"functions {name} says neither consume nor update"
    if len(functions) != 2:
        yield f"{len(functions)} functions"


@rule
def data_is_kept(tree: Tree) -> Iterator[str]:
    for stem, name, table in tree.resources("AWS::DynamoDB::Table"):
        if table.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{stem} {name} has a fixed capacity"
        if not table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled"):
            yield f"{stem} {name} can't be taken back to a point in time"
        if not table.get("TimeToLiveSpecification", {}).get("Enabled"):
            yield f"{stem} {name} has no time to live"
        if table["KeySchema"] != [{"AttributeName": "id", "KeyType": "HASH"}]:
            yield f"{stem} {name}: the key is not id"
    for stem, name, stream in tree.resources("AWS::Kinesis::Stream"):
        if stream.get("StreamModeDetails") != {"StreamMode": "ON_DEMAND"}:
            yield f"{stem} {name} has a fixed number of shards"
        if not stream.get("StreamEncryption"):
            yield f"{stem} {name} is not encrypted"
    kept = ("AWS::DynamoDB::Table", "AWS::Kinesis::Stream", "AWS::SQS::Queue", "AWS::EFS::FileSystem")
    for stem, template in tree.templates.items():
        for name, resource in template["Resources"].items():
            if resource["Type"] in kept and resource.get("DeletionPolicy") != "Retain":
                yield f"{stem} {name} goes with its stack"


# Those of Redis that both Amazon's service and our use of it know.
ENGINES = {"7.0", "7.1"}


@rule
def cache_is_closed(tree: Tree) -> Iterator[str]:
    for stem, name, cache in tree.resources("AWS::ElastiCache::ReplicationGroup"):
        for property in ("TransitEncryptionEnabled", "AtRestEncryptionEnabled", "AutomaticFailoverEnabled", "MultiAZEnabled"):
            if cache.get(property) is not True:
                yield f"{stem} {name}: {property} is {cache.get(property)}"
        if cache.get("TransitEncryptionMode") != "required":
            yield f"{stem} {name} takes connections without TLS"
        if cache.get("EngineVersion") not in ENGINES:
            yield f"{stem} {name}: there is no engine {cache.get('EngineVersion')}"
        if not cache.get("UserGroupIds"):
            yield f"{stem} {name} has no users"


def commands(sources: str) -> set[str]:
    """That Swift sources send to Redis, by themselves or in scripts."""
    return set(re.findall(r'RedisCommand\(\s*"([A-Z]+)"', sources)) | set(re.findall(r"redis\.call\('([A-Z]+)'", sources))


def access(text: str) -> set[str]:
    return {word[1:].split("|")[0].upper() for word in text.split() if word.startswith("+")}


@rule
def users_of_redis_may_what_adtrack_sends(tree: Tree) -> Iterator[str]:
    # What the leases of a worker send besides; on AWS the updater is a function, which has none.
    leases = commands(tree.text("Sources/StreamSource/RedisLeases.swift"))
    sent = commands(tree.swift("CoreDataFeed", "ProgramCache", "RedisClient")) | leases
    if "hashGetAll" in tree.swift("ProgramCache"):
        sent.add("HGETALL")
    sent -= {"AUTH"}
    users = {line.split()[1]: access(line) for line in tree.text("Deploy/compose/users.acl").splitlines()}
    both = users["adtrack"] | users["updater"]
    for command in sorted(sent - both):
        yield f"adtrack sends {command}, no user may"
    for command in sorted(both - sent):
        yield f"a user may {command}, adtrack does not send it"
    for command in sorted(users["adtrack"] & {"HSET", "SET", "DEL", "XADD", "EVAL", "PUBLISH"}):
        yield f"the service's user may {command}, a write"
    stack = {user["UserName"]: access(user["AccessString"]) for _, _, user in tree.resources("AWS::ElastiCache::User")}
    for name in ("adtrack", "updater"):
        besides = {"HDEL"} & leases if name == "updater" else set()
        if stack[name] != users[name] - besides:
            yield f"the user {name} may {sorted(stack[name] ^ (users[name] - besides))} either in compose or in the stack"
    if stack["default"]:
        yield "the default user of the cache may do something"


@rule
def parent_fits_its_children(tree: Tree) -> Iterator[str]:
    parent = tree.templates["adtrack"]
    children = {}
    for name, resource in parent["Resources"].items():
        stem = resource["Properties"]["TemplateURL"]["Fn::Sub"].rsplit("/", 1)[1].removesuffix(".yaml")
        children[name] = stem
        parameters = tree.templates[stem].get("Parameters", {})
        given = set(resource["Properties"].get("Parameters", {}))
        for missing in sorted({p for p, d in parameters.items() if "Default" not in d} - given):
            yield f"{name} needs {missing}"
        for unknown in sorted(given - set(parameters)):
            yield f"{name} has no parameter {unknown}"
    for value in walk(parent):
        if isinstance(value, dict) and "Fn::GetAtt" in value:
            name, attribute = value["Fn::GetAtt"]
            output = attribute.removeprefix("Outputs.")
            if output not in tree.templates[children[name]].get("Outputs", {}):
                yield f"{name} has no output {output}"
    for stem in tree.templates:
        if stem not in ("adtrack", *children.values()):
            yield f"{stem} is in no stack"


# Watching.


@rule
def queries_name_metrics_that_exist(tree: Tree) -> Iterator[str]:
    known = tree.metrics
    for place, query in tree.queries.items():
        for name in re.findall(r"\badtrack_[a-z0-9_]+", query):
            if name not in known and re.sub(r"_(bucket|sum|count)$", "", name) not in known:
                yield f"{place} asks for {name}, which adtrack has not"
    for file in ("service", "watch"):
        for name in sorted(set(re.findall(r"\badtrack_[a-z0-9_]+", tree.text(f"Deploy/aws/{file}.yaml"))) - known):
            yield f"{file}.yaml asks for {name}, which adtrack has not"


@rule
def every_alert_is_tested_and_explained(tree: Tree) -> Iterator[str]:
    tests = tree.yaml("Deploy/monitoring/alerts.test.yaml")["tests"]
    firing = {test["alertname"] for group in tests for test in group["alert_rule_test"] if test["exp_alerts"]}
    headings = re.findall(r"^#+ (\S+)$", tree.text("Deploy/RUNBOOK.md"), re.M)
    names = [alert["alert"] for alert in tree.alerts]
    for alert in tree.alerts:
        if alert["alert"] not in firing:
            yield f"no test makes {alert['alert']} fire"
        if alert["alert"] not in headings:
            yield f"the runbook says nothing of {alert['alert']}"
        if alert["annotations"].get("runbook") != f"Deploy/RUNBOOK.md#{alert['alert'].lower()}":
            yield f"{alert['alert']} points to another place of the runbook"
        if alert["labels"].get("severity") not in ("page", "ticket"):
            yield f"{alert['alert']} says neither page nor ticket"
    for heading in headings:
        if heading.startswith("Adtrack") and heading not in names:
            yield f"the runbook explains {heading}, which is no alert"
    runbook = tree.text("Deploy/RUNBOOK.md")
    for stem, name, _ in tree.resources("AWS::CloudWatch::Alarm"):
        if f"`{name}`" not in runbook:
            yield f"the runbook says nothing of the alarm {name}"


@rule
def alarms_of_the_cloud_tell_somebody(tree: Tree) -> Iterator[str]:
    for stem, name, alarm in tree.resources("AWS::CloudWatch::Alarm"):
        if stem == "watch" and alarm.get("AlarmActions") != [{"Ref": "Topic"}]:
            yield f"{name} tells nobody"
        if not alarm.get("AlarmDescription"):
            yield f"{name} does not say what it means"
    body = next(properties for _, _, properties in tree.resources("AWS::CloudWatch::Dashboard"))["DashboardBody"]["Fn::Sub"]
    parameters = tree.templates["watch"]["Parameters"]
    try:
        json.loads(body)
    except ValueError as error:
        yield f"the dashboard is no JSON: {error}"
    for name in sorted(set(re.findall(r"\$\{(\w+)\}", body)) - set(parameters)):
        yield f"the dashboard has no {name}"


# Cluster, host, container.


@rule
def kustomization_lists_every_manifest(tree: Tree) -> Iterator[str]:
    folder = tree.deploy / "kubernetes"
    kustomization = tree.yaml("Deploy/kubernetes/kustomization.yaml")
    files = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
    if files != set(kustomization["resources"]):
        yield f"the kustomization and its folder differ in {sorted(files ^ set(kustomization['resources']))}"
    component = tree.yaml("Deploy/kubernetes/serve-through-outage/kustomization.yaml")
    for patch in component["patches"]:
        target = tree.yaml(f"Deploy/kubernetes/serve-through-outage/{patch['path']}")
        if target["kind"] != "StatefulSet" or target["metadata"]["name"] != "adtrack":
            yield f"{patch['path']} patches nothing"


@rule
def pods_are_hardened_and_found(tree: Tree) -> Iterator[str]:
    spec = tree.manifest("StatefulSet")["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    labels = spec["template"]["metadata"]["labels"]
    wanted = {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    if container.get("securityContext") != wanted:
        yield "the container is not hardened"
    if pod["securityContext"].get("runAsNonRoot") is not True or pod["securityContext"].get("runAsUser") != 10001:
        yield "the pod does not run as the image's user"
    if pod["securityContext"].get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "the pod has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "the pod gets a token that it does not need"
    if "replicas" in spec:
        yield "the stateful set and the autoscaler both say how many pods there are"
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    if mounts.get("/var/lib/adtrack") not in claims:
        yield "the journal is on no volume of its own"
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        rules = tree.manifest(kind)["spec"]
        selector = (rules.get("selector") or rules.get("podSelector"))["matchLabels"]
        if not selector.items() <= labels.items():
            yield f"the {kind} finds no pod"
    for name in ("adtrack", "adtrack-pods"):
        if not tree.manifest("Service", name)["spec"]["selector"].items() <= labels.items():
            yield f"the service {name} finds no pod"
    target = tree.manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    if (target["kind"], target["name"]) != ("StatefulSet", "adtrack"):
        yield "the autoscaler scales nothing"
    if tree.manifest("HorizontalPodAutoscaler")["spec"]["minReplicas"] < 2:
        yield "one pod is no redundancy"
    if spec["serviceName"] != "adtrack-pods":
        yield "the pods have no names"
    if any(port["name"] == "management" for port in tree.manifest("Service")["spec"]["ports"]):
        yield "the management port stands on the public service"


@rule
def image_is_small_and_not_root(tree: Tree) -> Iterator[str]:
    text = tree.text("Deploy/Dockerfile")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    runtime = text[text.index(" AS runtime") :]
    if not re.search(r"^USER [1-9]\d*:[1-9]\d*$", runtime, re.M):
        yield "the image runs as root"
    for line in ("VOLUME /var/lib/adtrack", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["adtrack"]'):
        if line not in runtime:
            yield f"the image lacks {line}"
    if "HEALTHCHECK" not in runtime:
        yield "the image has no health check"
    if re.search(r"-dev\b", runtime):
        yield "the image holds headers"
    if "build_release" not in text or "--static-swift-stdlib" not in tree.text("Deploy/prerequisites"):
        yield "the binary needs Swift's libraries, which the image has not"
    if re.search(r"amd64|x86_64|arm64|aarch64", "\n".join(lines)):
        yield "the Dockerfile names an architecture"
    for image in re.findall(r"^FROM (\S+)", text, re.M):
        if "/" in image and (":" not in image or image.endswith(":latest")):
            yield f"{image} has no tag"
    uid = re.search(r"useradd .*--uid (\d+)", text)
    users = re.findall(r"User: \"(\d+):", tree.text("Deploy/aws/service.yaml")) + [uid[1] if uid else "none"]
    if set(users) != {"10001"}:
        yield f"the users differ: {users}"


@rule
def compose_is_closed(tree: Tree) -> Iterator[str]:
    for name, service in tree.compose["services"].items():
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"compose {name} opens {port} to the network"
        if service.get("image") == "adtrack":
            if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
                yield f"compose {name} is not hardened"
        for volume in service.get("volumes", []):
            source = str(volume).split(":")[0]
            if source.startswith("./") and not (tree.deploy / source).exists():
                yield f"compose {name} mounts {source}, which is not there"
    redis = tree.text("Deploy/compose/redis.conf").splitlines()
    if "port 0" not in redis or not any(line.startswith("aclfile ") for line in redis):
        yield "compose's Redis takes connections without TLS or without users"


@rule
def unit_writes_where_it_may(tree: Tree) -> Iterator[str]:
    unit = tree.text("Deploy/systemd/adtrack.service")
    state = "/var/lib/" + (re.search(r"^StateDirectory=(\S+)$", unit, re.M) or ["", "?"])[1]
    environment = dict(re.findall(r"^(ADTRACK_[A-Z_]+)=(.*)$", tree.text("Deploy/systemd/adtrack.env"), re.M))
    places = [environment.get("ADTRACK_JOURNAL", "?")]
    places += [sink.removeprefix("file:") for sink in environment.get("ADTRACK_SINK", "?").split(",") if sink.startswith("file:")]
    for place in places:
        if not place.startswith(state + "/"):
            yield f"{place} is outside of the unit's {state}"
    if "RestartPreventExitStatus=64" not in unit:
        yield "the unit tries a wrong setting again and again"


# The runbook.


@rule
def sizing_has_only_measured_figures(tree: Tree) -> Iterator[str]:
    runbook, readme = tree.text("Deploy/RUNBOOK.md"), tree.text("README.md")
    measured = readme[readme.index("## What it costs") : readme.index("\n## Deploy\n")]
    table = runbook[runbook.index("## Sizing") : runbook.index("## Costs")]
    for cell in re.findall(r"^\| [^|]+ \| ([^|]+) \| measured", table, re.M):
        if cell.strip() not in measured:
            yield f"the runbook calls {cell.strip()} measured, the README's section has it not"


@rule
def costs_are_what_the_script_says(tree: Tree) -> Iterator[str]:
    script = tree.deploy / "aws/cost"
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout.strip()
    if said not in tree.text("Deploy/RUNBOOK.md"):
        yield "the runbook's table of costs is not what Deploy/aws/cost says"
