#!/usr/bin/env python3
"""moto's Kinesis, DynamoDB, SQS and IAM in one thread: moto loses records when PutRecords run beside each other.

    moto_single.py [--port 0] [--check-signatures]

Prints "port N", with --check-signatures followed by an access key and its secret: every request's signature is verified
then, and the key may do everything with Kinesis, DynamoDB and SQS but delete a stream.

What a test does to it needs no signature; each is a POST with a JSON object:

    /_streams    "stream", "shards": makes a stream
    /_records    "stream", "records": [base64…], "keys": [text…] (each record's number where absent)
    /_aggregate  "stream", "records": [base64…]: as one record, which the KPL's own format makes of them
    /_split      "stream", "shard": in the middle of its keys
    /_merge      "stream", "shards": [two neighbours]
    /_shards     "stream": their ids, whether they are open, how many records they hold
    /_items      "table": all items as DynamoDB gives them; an empty list where there is no table
    /_queues     "queue", "bytes" a message may have: makes a queue, a FIFO one where its name ends so
    /_messages   "queue": what stands in it, each message as the JSON that it is
    /_faults     a list of faults; each call of "operation" takes the first of them that has "times" left:
                 "kind": "throttle" | "error" (500) | "cut" (nothing done, no answer) | "late-cut" (done, no answer),
                 "every" n: only each n-th call
    /_calls      how often each operation was called
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import socket
import sys
import threading

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--check-signatures", action="store_true")
options = parser.parse_args()
if options.check_signatures:
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

import logging  # noqa: E402

import aws_kinesis_agg.aggregator  # noqa: E402
from moto.core import DEFAULT_ACCOUNT_ID  # noqa: E402
from moto.dynamodb.models import dynamodb_backends  # noqa: E402
from moto.iam.models import iam_backends  # noqa: E402
from moto.kinesis.models import Stream, kinesis_backends  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from moto.sqs.models import sqs_backends  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.ERROR)


def identity():
    """A user whose key may use both services; resources are not checked by moto but for "*"."""
    backend = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_user("us-east-1", "adtrack")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["kinesis:*", "dynamodb:*", "sqs:*"], "Resource": "*"},
        {"Effect": "Deny", "Action": ["kinesis:DeleteStream"], "Resource": "*"},
    ]}
    backend.put_user_policy("adtrack", "all", json.dumps(policy))
    key = backend.create_access_key("adtrack")
    return f" {key.access_key_id} {key.secret_access_key}"


def shard_for_key(self, partition_key, explicit_hash_key):
    """As AWS does it: among the open shards. moto goes on to write into one that was closed."""
    key = int(explicit_hash_key or hashlib.md5(partition_key.encode()).hexdigest(), 10 if explicit_hash_key else 16)
    return next(s for s in self.shards.values() if s.is_open and s.starting_hash <= key <= s.ending_hash)


Stream.get_shard_for_key = shard_for_key


class Tested:
    """moto behind what a test does to it: its faults, and what it puts in and looks at."""

    def __init__(self, app):
        self.app = app
        self.faults = []
        self.calls = collections.Counter()

    def __call__(self, environ, start):
        path = environ["PATH_INFO"]
        if path.startswith("/_"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            answer = json.dumps(getattr(self, "do_" + path[2:])(json.loads(body or b"{}")), default=str).encode()
            start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
            return [answer]
        operation = environ.get("HTTP_X_AMZ_TARGET", "").split(".")[-1]
        self.calls[operation] += 1
        return self.perform(self.fault_of(operation), environ, start)

    def perform(self, kind, environ, start):
        if kind is None:
            return self.app(environ, start)
        if kind == "late-cut":
            list(self.app(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if kind.endswith("cut"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        status, code = {
            "throttle": ("400 Bad Request", "ProvisionedThroughputExceededException"),
            "error": ("500 Internal Server Error", "InternalServerError"),
        }[kind]
        answer = json.dumps({"__type": f"com.amazonaws#{code}", "message": "as the test wants it"}).encode()
        start(status, [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(answer)))])
        return [answer]

    def fault_of(self, operation):
        for fault in self.faults:
            if fault["operation"] != operation or fault.get("times", 1) <= 0:
                continue
            fault["seen"] = fault.get("seen", 0) + 1
            if fault["seen"] % fault.get("every", 1) == 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault["kind"]
        return None

    def do_streams(self, wanted):
        kinesis().create_stream(wanted["stream"], wanted.get("shards", 1), None, {})

    def do_records(self, wanted):
        keys = wanted.get("keys") or [str(number) for number in range(len(wanted["records"]))]
        for key, data in zip(keys, wanted["records"], strict=True):
            kinesis().put_record(None, wanted["stream"], key, None, data)

    def do_aggregate(self, wanted):
        aggregator = aws_kinesis_agg.aggregator.RecordAggregator()
        for record in wanted["records"]:
            aggregator.add_user_record("key", base64.b64decode(record))
        key, _, data = aggregator.clear_and_get().get_contents()
        kinesis().put_record(None, wanted["stream"], key, None, base64.b64encode(data).decode())

    def do_split(self, wanted):
        def split(stream):
            shard = stream.shards[wanted["shard"]]
            middle = (shard.starting_hash + shard.ending_hash) // 2
            kinesis().split_shard(None, wanted["stream"], wanted["shard"], str(middle))
        self.reshard(wanted["stream"], split)

    def do_merge(self, wanted):
        self.reshard(wanted["stream"], lambda _: kinesis().merge_shards(None, wanted["stream"], *wanted["shards"]))

    def reshard(self, name, change):
        """As AWS does it: what the parents hold stays with them. moto moves it to their children."""
        stream = kinesis().describe_stream(None, name)
        before = {shard_id: shard.records for shard_id, shard in stream.shards.items()}
        change(stream)
        for shard_id, shard in stream.shards.items():
            shard.records = before.get(shard_id, type(shard.records)())

    def do_shards(self, wanted):
        shards = kinesis().describe_stream(None, wanted["stream"]).shards.values()
        return [{"id": shard.shard_id, "isOpen": shard.is_open, "records": len(shard.records)} for shard in shards]

    def do_items(self, wanted):
        tables = dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables
        table = tables.get(wanted["table"])
        return [item.to_json()["Attributes"] for item in table.all_items()] if table else []

    def do_queues(self, wanted):
        attributes = {"MaximumMessageSize": wanted["bytes"]} | ({"FifoQueue": "true"} if wanted["queue"].endswith(".fifo") else {})
        sqs().create_queue(wanted["queue"], None, **attributes)

    def do_messages(self, wanted):
        return [json.loads(message.body) for message in sqs().get_queue(wanted["queue"])._messages]

    def do_calls(self, _):
        return dict(self.calls)

    def do_faults(self, faults):
        self.faults = faults


def kinesis():
    return kinesis_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]


def sqs():
    return sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]


tested = Tested(DomainDispatcherApplication(create_backend_app))
server = make_server("127.0.0.1", options.port, tested, threaded=False)
print(f"port {server.port}" + (identity() if options.check_signatures else ""), flush=True)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


if not os.path.samestat(os.fstat(0), os.stat(os.devnull)):
    threading.Thread(target=end_with_parent, daemon=True).start()
server.serve_forever()
