#!/usr/bin/env python3
"""Lambda's Runtime API for one function, and the pump that an event source mapping is.

    runtime_api.py [--port 0] [--timeout 5]

Prints "port N". Speaks the Runtime API (2018-06-01): next, response, error, init/error; an answer that is not HTTP's 202 is
one that a function must not have given. --timeout is what an invocation may take, in seconds; an answer that comes later
than that is refused and counts as a failure, as Lambda ends such a function.

    POST /_invoke   the body is an event: gives {"kind": "response" | "error" | "timeout", "body", "type", "left": seconds}
    POST /_pump     begins to read a Kinesis stream to its end as a mapping does; a JSON object:
                    "endpoint", "key", "secret", "stream", "region" (us-east-1), "batch" (100), "retries" (3), "bisect" (true)
    GET /_books     the pump's books once it is through, else {}; {"error": …} where it could not go on
    GET /_state     {"initErrors": […], "invocations": n, "waiting": whether the function asks for an event}

The books of a pump: "invocations", "records" that were done with, "failures": batches that were given up, as the records'
sequence numbers, which is what a failure destination is told.
"""

import argparse
import base64
import collections
import http.server
import json
import queue
import sys
import threading
import time
import uuid

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--port", type=int, default=0)
options.add_argument("--timeout", type=float, default=5)
options = options.parse_args()

PREFIX = "/2018-06-01/runtime/"


class Function:
    """The function's side of the table: events that wait for it, and answers that somebody waits for."""

    def __init__(self):
        self.events = queue.Queue()
        self.open = {}
        self.lock = threading.Lock()
        self.init_errors = []
        self.invocations = 0
        self.waiting = 0

    def invoke(self, event):
        identity = str(uuid.uuid4())
        outcome = queue.Queue()
        # The function's time begins when it has taken the event.
        self.events.put((identity, event, outcome))
        taken = outcome.get(timeout=30)
        try:
            answer = outcome.get(timeout=max(0.0, taken + options.timeout - time.time()))
        except queue.Empty:
            answer = {"kind": "timeout"}
        with self.lock:
            self.open.pop(identity, None)
        answer["left"] = taken + options.timeout - time.time()
        return answer

    def next(self):
        self.waiting += 1
        identity, event, outcome = self.events.get()
        self.waiting -= 1
        now = time.time()
        with self.lock:
            self.invocations += 1
            self.open[identity] = outcome
        outcome.put(now)
        return identity, int((now + options.timeout) * 1000), event

    def answer(self, identity, answer):
        """Whether somebody still waits for it."""
        with self.lock:
            outcome = self.open.pop(identity, None)
        if outcome:
            outcome.put(answer)
        return outcome is not None


function = Function()
pumped = {}


class Pump:
    """One shard after the other; each batch is retried from where it failed, cut in halves, and given up in the end."""

    def __init__(self, wanted):
        import boto3

        self.stream, self.wanted = wanted["stream"], wanted
        self.kinesis = boto3.client(
            "kinesis", endpoint_url=wanted["endpoint"], region_name=wanted.get("region", "us-east-1"),
            aws_access_key_id=wanted["key"], aws_secret_access_key=wanted["secret"])
        self.books = {"invocations": 0, "records": 0, "failures": []}

    def begin(self):
        global pumped
        pumped = {}
        threading.Thread(target=self.tell, daemon=True).start()
        return {}

    def tell(self):
        global pumped
        try:
            pumped = self.run()
        except Exception as error:
            pumped = {"error": repr(error)}

    def run(self):
        for shard in self.kinesis.list_shards(StreamName=self.stream)["Shards"]:
            iterator = self.kinesis.get_shard_iterator(
                StreamName=self.stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            while True:
                page = self.kinesis.get_records(ShardIterator=iterator, Limit=self.wanted.get("batch", 100))
                if not page["Records"]:
                    break
                self.deliver([self.record(shard["ShardId"], record) for record in page["Records"]])
                iterator = page["NextShardIterator"]
        return self.books

    def record(self, shard, record):
        # As long as AWS' numbers are: nobody shall take them for integers.
        number = record["SequenceNumber"].rjust(56, "4")
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": record["PartitionKey"], "sequenceNumber": number,
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": f"{shard}:{number}",
            "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::123456789012:role/function",
            "awsRegion": "us-east-1",
            "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{self.stream}",
        }

    def deliver(self, records):
        """AWS Lambda Developer Guide, "Configuring partial batch response with Kinesis Data Streams and Lambda"."""
        waiting = collections.deque([(records, 0)])
        while waiting:
            records, attempts = waiting.popleft()
            done = self.attempt(records)
            self.books["records"] += done
            rest = records[done:]
            if not rest:
                continue
            # Cutting a batch in halves is none of its retries.
            if self.wanted.get("bisect", True) and len(rest) > 1:
                middle = len(rest) // 2
                waiting.extendleft([(rest[middle:], 0), (rest[:middle], 0)])
                continue
            attempts = attempts + 1 if done == 0 else 1
            if attempts > self.wanted.get("retries", 3):
                self.books["failures"].append([record["kinesis"]["sequenceNumber"] for record in rest])
                self.books["records"] += len(rest)
            else:
                waiting.appendleft((rest, attempts))

    def attempt(self, records):
        """How many records from the first on are done with."""
        self.books["invocations"] += 1
        answer = function.invoke(json.dumps({"Records": records}).encode())
        if answer["kind"] != "response":
            return 0
        body = json.loads(answer["body"])
        if set(body) != {"batchItemFailures"}:
            raise ValueError(f"no batch response: {body}")
        failed = {failure["itemIdentifier"] for failure in body["batchItemFailures"]}
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        if not failed <= set(numbers):
            raise ValueError(f"unknown sequence numbers: {failed}")
        return min((numbers.index(number) for number in failed), default=len(numbers))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == PREFIX + "invocation/next":
            identity, deadline, event = function.next()
            return self.answer(200, event, {
                "Lambda-Runtime-Aws-Request-Id": identity, "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Trace-Id": f"Root=1-{identity[:8]};Sampled=1",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:adtrack",
            })
        if self.path == "/_state":
            return self.tell({"initErrors": function.init_errors, "invocations": function.invocations,
                              "waiting": function.waiting > 0})
        if self.path == "/_books":
            return self.tell(pumped)
        self.answer(404, b"{}")

    def do_POST(self):
        body = self.body()
        if self.path == "/_invoke":
            return self.tell(function.invoke(body))
        if self.path == "/_pump":
            return self.tell(Pump(json.loads(body)).begin())
        if self.path == PREFIX + "init/error":
            function.init_errors.append(json.loads(body))
            return self.answer(202, b'{"status":"OK"}')
        parts = self.path.removeprefix(PREFIX + "invocation/").split("/")
        if not self.path.startswith(PREFIX + "invocation/") or len(parts) != 2 or parts[1] not in ("response", "error"):
            return self.answer(404, b"{}")
        kind = self.headers.get("Lambda-Runtime-Function-Error-Type")
        answer = {"kind": parts[1], "body": body.decode(), "type": kind}
        if not function.answer(parts[0], answer):
            return self.answer(400, b'{"errorMessage":"no such invocation","errorType":"InvalidRequestID"}')
        self.answer(202, b'{"status":"OK"}')

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return whole

    def tell(self, value):
        self.answer(200, json.dumps(value).encode())

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", options.port), Handler)
print(f"port {server.server_port}", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
