"""What the Kinesis stand-in stores, and its operations (Kinesis API reference, 2013-12-02); knows no HTTP."""

import base64
import binascii
import collections
import hashlib
import json
import random
import time

THROTTLED = "ProvisionedThroughputExceededException"


class Refusal(Exception):
    def __init__(self, status, code, message=""):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


class Shard:
    def __init__(self, index, start, end, rate):
        self.id = f"shardId-{index:012d}"
        self.start, self.end = start, end
        self.records = []
        self.stored = 0
        self.sequence = 0
        # Token buckets: records, bytes; filled when used.
        self.rate = float(rate)
        self.tokens, self.byte_tokens, self.filled = self.rate, float(1 << 20), time.monotonic()

    def next_sequence(self):
        # 56 digits as AWS' are: nobody shall take them for an integer.
        self.sequence += 1
        return f"49590338271490256608559692538361571095921575{int(self.id[8:]):04d}{self.sequence:08d}"

    def takes(self, size):
        now = time.monotonic()
        self.tokens = min(self.rate, self.tokens + (now - self.filled) * self.rate)
        self.byte_tokens = min(float(1 << 20), self.byte_tokens + (now - self.filled) * (1 << 20))
        self.filled = now
        if self.tokens < 1 or self.byte_tokens < size:
            return False
        self.tokens -= 1
        self.byte_tokens -= size
        return True


class Stream:
    def __init__(self, name, count, rate):
        self.name = name
        whole = 1 << 128
        self.shards = [Shard(i, whole * i // count, whole * (i + 1) // count - 1, rate) for i in range(count)]
        self.count = count

    def shard(self, key):
        if self.count == 1:
            return self.shards[0]
        value = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        return self.shards[value * self.count >> 128]


class Ledger:
    def __init__(self):
        self.calls = collections.Counter()
        self.attempts = []
        self.connections = 0
        self.received = 0
        self.stored = 0
        self.throttled = 0
        self.failed = 0
        self.bytes = 0
        self.per_key = {}
        # Keys whose record was answered as stored, so that the client knew.
        self.answered = set()
        self.sent_again_after_answer = 0
        self.signatures = collections.Counter()

    def page(self, with_keys):
        counts = self.per_key.values()
        page = {
            "calls": dict(self.calls), "connections": self.connections, "received": self.received, "stored": self.stored,
            "throttled": self.throttled, "failed": self.failed, "bytes": self.bytes, "unique": len(self.per_key),
            "duplicates": sum(counts) - len(self.per_key), "answered": len(self.answered),
            "sentAgainAfterAnswer": self.sent_again_after_answer, "attempts": self.attempts[-100_000:],
            "signatures": dict(self.signatures),
        }
        if with_keys:
            page["keys"] = self.per_key
        return page


class Kinesis:
    """One method for each operation: the request as JSON has it, and the fault that applies; answers with bytes."""

    def __init__(self, options):
        self.options = options
        self.streams = {}
        self.rate = options.rate_limit or 1000
        self.ledger = Ledger()

    # Streams

    def stream(self, request, create=True):
        name = request.get("StreamName") or (request.get("StreamARN") or "").rpartition("/")[2]
        found = self.streams.get(name)
        if found is None:
            if self.options.strict or not create:
                raise Refusal(400, "ResourceNotFoundException", f"Stream {name} under account 123456789012 not found.")
            found = self.streams[name] = Stream(name, self.options.shards, self.rate)
        return found

    def shards(self):
        return [shard for stream in self.streams.values() for shard in stream.shards]

    def repeat(self):
        for shard in self.shards():
            shard.records += [(shard.next_sequence(), key, data, time.time()) for _, key, data, _ in list(shard.records)]

    def ends(self):
        return {shard.id: shard.records[-1][0] for shard in self.shards() if shard.records}

    # The API

    def operation(self, name, request, fault):
        handler = getattr(self, "do_" + name, None)
        if handler is None:
            raise Refusal(400, "UnknownOperationException")
        return handler(request, fault)

    def do_CreateStream(self, request, _):
        if request["StreamName"] in self.streams:
            raise Refusal(400, "ResourceInUseException", "Stream exists")
        name = request["StreamName"]
        self.streams[name] = Stream(name, request.get("ShardCount", self.options.shards), self.rate)
        return b""

    def do_DescribeStreamSummary(self, request, _):
        stream = self.stream(request)
        return json.dumps({"StreamDescriptionSummary": {
            "StreamName": stream.name, "StreamStatus": "ACTIVE", "OpenShardCount": stream.count,
            "StreamARN": f"arn:aws:kinesis:{self.options.region}:123456789012:stream/{stream.name}",
            "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.6e9, "EnhancedMonitoring": [],
            "EncryptionType": "NONE", "ConsumerCount": 0,
        }}).encode()

    def do_ListShards(self, request, _):
        start, name = 0, None
        if token := request.get("NextToken"):
            name, _, start = token.rpartition("|")
            request = {"StreamName": name}
        stream = self.stream(request)
        size = min(int(request.get("MaxResults", self.options.page)), self.options.page)
        start = int(start)
        answer = {"Shards": [
            {"ShardId": s.id, "HashKeyRange": {"StartingHashKey": str(s.start), "EndingHashKey": str(s.end)},
             "SequenceNumberRange": {"StartingSequenceNumber": "49590338271490256608559692538361571095921575989136588898"}}
            for s in stream.shards[start:start + size]
        ]}
        if start + size < stream.count:
            answer["NextToken"] = f"{stream.name}|{start + size}"
        return json.dumps(answer).encode()

    def do_GetShardIterator(self, request, _):
        stream = self.stream(request, create=False)
        shard = next((s for s in stream.shards if s.id == request["ShardId"]), None)
        if shard is None:
            raise Refusal(400, "ResourceNotFoundException", "no such shard")
        kind = request["ShardIteratorType"]
        index = {"TRIM_HORIZON": 0, "LATEST": len(shard.records)}.get(kind)
        if kind == "AT_TIMESTAMP":
            index = next((i for i, r in enumerate(shard.records) if r[3] >= request["Timestamp"]), len(shard.records))
        elif index is None:
            at = request["StartingSequenceNumber"]
            index = next((i for i, r in enumerate(shard.records) if r[0] == at), None)
            if index is None:
                raise Refusal(400, "InvalidArgumentException", "no such sequence number")
            index += kind == "AFTER_SEQUENCE_NUMBER"
        return json.dumps({"ShardIterator": f"{stream.name}|{shard.id}|{index}"}).encode()

    def do_GetRecords(self, request, _):
        try:
            name, shard_id, index = request["ShardIterator"].rsplit("|", 2)
            shard = next(s for s in self.streams[name].shards if s.id == shard_id)
            index = int(index)
        except (ValueError, KeyError, StopIteration):
            raise Refusal(400, "InvalidArgumentException", "Invalid ShardIterator.") from None
        taken, size = [], 0
        for record in shard.records[index:index + min(request.get("Limit", 10_000), 10_000)]:
            size += len(record[2])
            if taken and size > 10 << 20:
                break
            taken.append(record)
        return json.dumps({
            "Records": [
                {"SequenceNumber": r[0], "PartitionKey": r[1], "Data": r[2], "ApproximateArrivalTimestamp": r[3],
                 "EncryptionType": "NONE"} for r in taken
            ],
            "NextShardIterator": f"{name}|{shard_id}|{index + len(taken)}",
            "MillisBehindLatest": 0 if index + len(taken) == len(shard.records) else 1000,
        }).encode()

    def do_PutRecord(self, request, fault):
        answer = json.loads(self.do_PutRecords({**request, "Records": [request]}, fault))["Records"][0]
        if "ErrorCode" in answer:
            raise Refusal(400 if answer["ErrorCode"] == THROTTLED else 500, answer["ErrorCode"], answer["ErrorMessage"])
        return json.dumps(answer).encode()

    def do_PutRecords(self, request, fault):
        stream = self.stream(request)
        records = request["Records"]
        self.validate(records)
        refused = self.refused(stream, records, fault)
        ledger, keys, now = self.ledger, self.ledger.per_key, time.time()
        ledger.received += len(records)
        discard, limited = self.options.discard, self.options.rate_limit
        answers, failures, stored = [], 0, []
        for index, record in enumerate(records):
            key = record["PartitionKey"]
            shard = stream.shard(key)
            if key in ledger.answered:
                ledger.sent_again_after_answer += 1
            code = refused.get(index)
            if code is None and limited and not shard.takes(len(record["Data"]) * 3 // 4 + len(key)):
                code = THROTTLED
            if code is not None:
                failures += 1
                if code == THROTTLED:
                    ledger.throttled += 1
                else:
                    ledger.failed += 1
                answers.append(f'{{"ErrorCode":"{code}","ErrorMessage":"as told"}}')
                continue
            sequence = shard.next_sequence()
            shard.stored += 1
            if not discard:
                shard.records.append((sequence, key, record["Data"], now))
                keys[key] = keys.get(key, 0) + 1
                stored.append(key)
            answers.append(f'{{"SequenceNumber":"{sequence}","ShardId":"{shard.id}"}}')
        ledger.stored += len(records) - failures
        kind = fault and fault["kind"]
        if kind in ("store-then-cut", "store-then-half", "store-then-hang", "drip", "too-few", "too-many", "wrong-count"):
            # The client is not told, or not in a way that it may believe.
            stored = []
        ledger.answered.update(stored)
        if kind == "too-few":
            del answers[-int(fault.get("missing", 1)):]
        elif kind == "too-many":
            answers.append(answers[-1])
        elif kind == "wrong-count":
            failures = int(fault.get("count", 3))
        return f'{{"FailedRecordCount":{failures},"Records":[{",".join(answers)}]}}'.encode()

    def validate(self, records):
        if not 1 <= len(records) <= 500:
            raise Refusal(400, "ValidationException", "records: 1 to 500")
        total = 0
        for record in records:
            try:
                size = len(base64.b64decode(record["Data"], validate=True))
            except (binascii.Error, ValueError):
                raise Refusal(400, "SerializationException", "not base64") from None
            key = record["PartitionKey"]
            if not 1 <= len(key) <= 256:
                raise Refusal(400, "ValidationException", "partitionKey: 1 to 256")
            size += len(key.encode())
            if size > self.options.record_bytes:
                raise Refusal(400, "ValidationException", "record too large")
            total += size
        if total > 5 << 20:
            raise Refusal(400, "InvalidArgumentException", "Records size exceeds 5 MB limit")

    def refused(self, stream, records, fault):
        """Index → code of the records that a fault refuses."""
        if not fault or fault["kind"] not in ("throttle-records", "fail-records", "mixed-records"):
            return {}
        code = THROTTLED if fault["kind"] == "throttle-records" else fault.get("code", "InternalFailure")
        indices = range(len(records))
        if "index" in fault:
            chosen = [i for i in fault["index"] if i < len(records)]
        elif "every" in fault:
            chosen = [i for i in indices if i % fault["every"] == 0]
        elif "shard" in fault:
            chosen = [i for i in indices if stream.shard(records[i]["PartitionKey"]).id == fault["shard"]]
        else:
            source = fault.setdefault("_random", random.Random(fault.get("seed", 0)))
            chosen = [i for i in indices if source.random() < fault["probability"]]
            if fault["kind"] == "mixed-records":
                return {i: THROTTLED if source.random() < 0.5 else "InternalFailure" for i in chosen}
        return dict.fromkeys(chosen, code)
