"""The sinks of a run: how the service is told of them, what can be done to them, and what they hold in the end."""
import base64
import json
import os
import subprocess
import sys
import time
import urllib.request

from disks import Disk
from processes import Failure, Running
from proxies import Proxy

STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Tests", "StandIns", "kinesis.py")


def available(program):
    """What the program delivers to, by its own word, and this machine can run."""
    text = subprocess.run([program, "serve", "--help"], check=False, capture_output=True, text=True).stdout
    found = ["file"]
    if "redis:KEY" in text:
        found.append("redis")
    if "kinesis:STREAM" in text and os.path.exists(STAND_IN):
        found.append("kinesis")
    return found


def make_sinks(names, work, redis):
    makers = {
        "file": lambda: FileSink(work.path("files")),
        "redis": lambda: RedisSink(redis),
        "kinesis": KinesisSink,
    }
    return [makers[name]() for name in names]


def message_id(event):
    """Field 8 of a protobuf event; https://protobuf.dev/programming-guides/encoding/"""
    place = 0
    while place < len(event):
        tag, place = varint(event, place)
        kind = tag & 7
        if kind == 0:
            _, place = varint(event, place)
        elif kind == 2:
            length, place = varint(event, place)
            if tag >> 3 == 8:
                return bytes(event[place : place + length]).decode()
            place += length
        else:
            raise Failure(f"an event has a field of kind {kind}")
    raise Failure("an event has no message id")


def varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


class FileSink:
    """Files on a small disk: it is full at times, or its directory is not there."""

    name = "files"

    def __init__(self, path):
        self.disk = Disk(path, 4 << 30)
        self.directory = os.path.join(path, "events")
        self.address = f"file:{self.directory}"

    def faults(self):
        found = [("files: directory gone", self.outage)]
        if self.disk.can_fill:
            found.append(("files: disk full", self.full))
        return found

    def outage(self, random_source):
        hidden = self.directory + ".hidden"
        if os.path.isdir(self.directory):
            os.rename(self.directory, hidden)
        with open(self.directory, "w", encoding="ascii"):
            pass
        time.sleep(random_source.uniform(0.5, 5))
        self.show()

    def show(self):
        """Back to its place; what was written to a directory made meanwhile stays in the books."""
        hidden = self.directory + ".hidden"
        if os.path.isfile(self.directory):
            os.remove(self.directory)
        if os.path.isdir(hidden):
            if os.path.isdir(self.directory):
                os.rename(self.directory, f"{self.directory}.{time.monotonic_ns()}")
            os.rename(hidden, self.directory)

    def full(self, random_source):
        self.disk.fill()
        time.sleep(random_source.uniform(0.5, 4))
        self.disk.free()

    def heal(self):
        self.show()
        self.disk.free()

    def stored(self):
        parent = os.path.dirname(self.directory)
        ids = []
        for folder in sorted(os.listdir(parent)):
            folder = os.path.join(parent, folder)
            for name in sorted(os.listdir(folder)):
                if name.endswith(".pb"):
                    ids += self._read(os.path.join(folder, name))
        return ids

    @staticmethod
    def _read(path):
        with open(path, "rb") as file:
            data = file.read()
        ids, place = [], 0
        while place < len(data):
            length, start = varint(data, place)
            place = start + length
            if place > len(data):
                raise Failure(f"{path} ends within an event")
            ids.append(message_id(data[start:place]))
        return ids

    def close(self):
        self.disk.close()


class Remote:
    """A sink behind a proxy."""

    proxy = None
    name = ""

    def faults(self):
        return [
            (f"{self.name}: refuses", lambda source: self.during("refuses", source.uniform(0.5, 5))),
            (f"{self.name}: hangs", lambda source: self.during("hangs", source.uniform(0.5, 3))),
            (f"{self.name}: slow", lambda source: self.during("slow", source.uniform(1, 5))),
            (f"{self.name}: cuts", lambda source: self.during("cuts", source.uniform(0.5, 3))),
        ]

    def during(self, mode, seconds):
        self.proxy.turn(mode)
        time.sleep(seconds)
        self.proxy.turn("good")

    def heal(self):
        self.proxy.turn("good")

    def close(self):
        self.proxy.close()


class RedisSink(Remote):
    """A stream of the real server."""

    name = "redis stream"

    def __init__(self, redis):
        self.redis = redis
        self.proxy = Proxy(redis.port)
        self.address = f"redis:adtrack.events?url=redis://127.0.0.1:{self.proxy.port}"

    def heal(self):
        super().heal()
        self.redis.heal()

    def stored(self):
        ids, start = [], "-"
        while True:
            entries = self.redis.command("XRANGE", "adtrack.events", start, "+", "COUNT", 10_000)
            for _, fields in entries:
                ids.append(dict(zip(fields[::2], fields[1::2]))[b"id"].decode())
            if len(entries) < 10_000:
                return ids
            start = b"(" + entries[-1][0]


class KinesisSink(Remote, Running):
    """The stand-in of the tests, which also misbehaves in the ways of Kinesis itself."""

    name = "kinesis"
    stream = "adtrack-events"

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, STAND_IN, "--port", "0", "--shards", "2"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise Failure("the stand-in for Kinesis does not start")
        self.port = int(line[1])
        self.proxy = Proxy(self.port)
        self.address = f"kinesis:{self.stream}?region=us-east-1&endpoint=http://127.0.0.1:{self.proxy.port}"

    def faults(self):
        return super().faults() + [
            ("kinesis: a part of the records fails", self.partial),
            ("kinesis: stores and cuts", lambda source: self.misbehave(source, {"kind": "store-then-cut", "times": 3})),
            ("kinesis: too few results", lambda source: self.misbehave(source, {"kind": "too-few", "times": 2})),
            ("kinesis: 503", lambda source: self.misbehave(source, {"kind": "html", "times": 0})),
        ]

    def partial(self, source):
        fault = {"kind": "mixed-records", "probability": 0.3, "seed": source.randrange(1000), "times": 0}
        self.misbehave(source, fault)

    def misbehave(self, source, fault):
        self._ask("/_faults", "POST", fault)
        time.sleep(source.uniform(0.5, 4))
        self._ask("/_faults", "DELETE")

    def heal(self):
        super().heal()
        self._ask("/_faults", "DELETE")

    def stored(self):
        ids = []
        for shard in self._call("ListShards", {"StreamName": self.stream})["Shards"]:
            wanted = {"StreamName": self.stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = self._call("GetShardIterator", wanted)["ShardIterator"]
            while True:
                answer = self._call("GetRecords", {"ShardIterator": iterator})
                if not answer["Records"]:
                    break
                ids += [message_id(base64.b64decode(record["Data"])) for record in answer["Records"]]
                iterator = answer["NextShardIterator"]
        return ids

    def close(self):
        super().close()
        self.end()

    def _call(self, operation, request):
        headers = {"X-Amz-Target": f"Kinesis_20131202.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        return json.loads(self._ask("/", "POST", request, headers))

    def _ask(self, path, method, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, method=method, headers=headers or {}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()
