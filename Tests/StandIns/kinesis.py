#!/usr/bin/env python3
"""A Kinesis stand-in that misbehaves as told, and keeps books of what it stored.

    kinesis.py [--host 127.0.0.1] [--port 0] [--shards 4] [--region us-east-1]
               [--access-key AK --secret-key SK [--session-token T]] [--discard] [--canned N] [--rate-limit [N]]

Prints "port N" when it listens. Speaks the JSON protocol of the Kinesis API (2013-12-02): CreateStream, ListShards,
DescribeStreamSummary, PutRecords, PutRecord, GetShardIterator, GetRecords. A stream that is not known is created at its
first PutRecords or ListShards, with --shards shards, unless --strict is given.

With --access-key every signature is computed again by botocore, which must be installed then, over the headers that the
client says it signed; a wrong one is answered as AWS does (403 InvalidSignatureException, or ExpiredToken, or
RequestTimeTooSkewed when the time differs by more than five minutes; --clock-offset S moves this server's clock, in its
Date too). --discard counts records instead of keeping them. --canned N reads nothing and answers each call that N records
are stored, for measuring clients. --rate-limit holds each shard to N (1,000) records/s and 1 MiB/s.

    POST /_faults   a JSON list of faults, or one; each call of the API takes the first of the queue that applies to it
    DELETE /_faults empties the queue and the standing faults
    GET /_ledger    the books
    DELETE /_ledger starts new books (streams stay)
    POST /_again    every stored record a second time, behind the others, as of a producer that got no answer
    GET /_ends      the last sequence number of each shard that has records

A fault is an object with "kind", and optionally "times" (how many calls it is for, 1; 0 is for all from now on),
"operation" ("PutRecords") and "after" (calls that pass before it applies):

    throttle-records  "index": [0, 7] | "every": n | "probability": p, "seed": s | "shard": "shardId-…"
    fail-records      the same, with "code" (InternalFailure)
    mixed-records     "probability", "seed": half of the failures are throttled, half are InternalFailure
    error             "status" (400), "code", "message": a JSON error: ProvisionedThroughputExceededException, ExpiredToken…
    html              "status" (503): a page as a load balancer gives it
    store-then-cut    stores the records, then closes without an answer
    store-then-half   stores them, and closes in the middle of the answer
    cut               closes before anything is stored
    reset             the same with a TCP reset
    too-few           stores them, and the answer leaves out the last "missing" (1)
    too-many          stores them, and the answer has one more
    wrong-count       stores them, and FailedRecordCount is "count" (3)
    empty             200 with no body
    not-json          200 with "body"
    huge              200 with a body of "bytes" that never ends up as JSON
    drip              stores them, and answers one byte each "interval" seconds (0.5)
    slow              waits "seconds" before it stores and answers
    hang              reads the request and never answers
    store-then-hang   stores them first
    close             answers as always, then closes the connection
    refuse            closes the listening socket for "seconds" (1), or with 0 until SIGUSR1; existing connections are closed
"""

import argparse
import asyncio
import collections
import email.utils
import json
import random
import signal
import socket
import struct
import sys
import time
import urllib.parse

from kinesis_streams import Kinesis, Ledger, Refusal

MAXIMUM_BODY = 64 << 20


class Cut(Exception):
    """The connection is to end without a further byte."""


class Server(Kinesis):
    def __init__(self, options):
        super().__init__(options)
        self.faults = collections.deque()
        self.arrived = asyncio.Event()
        # Set by SIGUSR1: the listener may come back.
        self.wanted = asyncio.Event()
        self.listener = None
        self.is_away = False
        self.port = options.port
        self.open = set()
        self.random = random.Random(0)
        record = '{"SequenceNumber":"49590338271490256608559692538361571095921575000000000001","ShardId":"shardId-000000000000"}'
        self.canned = f'{{"FailedRecordCount":0,"Records":[{",".join([record] * options.canned)}]}}'.encode()

    # Faults

    def take_fault(self, operation):
        for fault in list(self.faults):
            if fault.get("operation", "PutRecords") not in (operation, "*"):
                continue
            if fault.get("after", 0) > 0:
                fault["after"] -= 1
                continue
            times = fault.get("times", 1)
            if times == 1:
                self.faults.remove(fault)
            elif times > 1:
                fault["times"] = times - 1
            return fault
        return None

    async def leave(self):
        self.is_away = True
        # What is accepted and not begun yet is begun first, and ends in serve: asyncio leaves it open when the listener closes.
        for listening in self.listener.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(5):
            await asyncio.sleep(0)
        self.listener.close()
        for writer in list(self.open):
            writer.transport.abort()

    async def come_back(self, seconds):
        if seconds:
            await asyncio.sleep(seconds)
        else:
            await self.wanted.wait()
            self.wanted.clear()
        self.is_away = False
        await self.listen()

    # Signatures

    def check_signature(self, method, path, headers, body):
        options = self.options
        if not options.access_key:
            return
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        authorization = headers.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            raise Refusal(400, "MissingAuthenticationTokenException", "Missing Authentication Token")
        parts = dict(part.strip().split("=", 1) for part in authorization[17:].split(","))
        scope = parts["Credential"].split("/")
        if scope[0] != options.access_key:
            raise Refusal(400, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if options.session_token and headers.get("x-amz-security-token") != options.session_token:
            raise Refusal(400, "ExpiredTokenException", "The security token included in the request is expired")
        stamp = headers["x-amz-date"]
        given = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
        if abs(given - self.now()) > 300:
            raise Refusal(400, "InvalidSignatureException", f"Signature expired: {stamp}")
        names = parts["SignedHeaders"].split(";")
        wanted = {"host", "x-amz-date", "x-amz-target"} | ({"x-amz-security-token"} if options.session_token else set())
        request = AWSRequest(method, f"http://{headers['host']}{path}", data=body)
        request.context["timestamp"] = stamp
        for name in names:
            request.headers[name] = headers.get(name, "")
        signer = SigV4Auth(Credentials(options.access_key, options.secret_key), scope[3], scope[2])
        # What botocore would sign, without those headers that it never does.
        text = signer.string_to_sign(request, signer.canonical_request(request))
        correct = signer.signature(text, request) == parts["Signature"] and wanted <= set(names)
        correct = correct and scope[1:] == [stamp[:8], options.region, "kinesis", "aws4_request"]
        self.ledger.signatures["right" if correct else "wrong"] += 1
        if not correct:
            raise Refusal(403, "InvalidSignatureException", "The request signature we calculated does not match")

    def now(self):
        return time.time() + self.options.clock_offset

    # HTTP

    async def listen(self):
        self.listener = await asyncio.start_server(self.serve, self.options.host, self.port, limit=1 << 20, backlog=1024)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        # Accepted before the listener went away, begun after it.
        if self.is_away:
            writer.transport.abort()
            return
        self.open.add(writer)
        self.ledger.connections += 1
        try:
            while await self.serve_one(reader, writer):
                pass
        except (Cut, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def serve_one(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            # A header that came twice is what a proxy would make of it, so that its signature is wrong.
            name, value = name.lower(), value.strip()
            headers[name] = headers[name] + "," + value if name in headers else value
        length = int(headers.get("content-length", 0))
        if length > MAXIMUM_BODY:
            raise Cut
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(length) if length else b""
        if path.startswith("/_"):
            self.administer(writer, method, path, body)
            return True
        return await self.serve_call(writer, method, path, headers, body)

    def administer(self, writer, method, path, body):
        answer, status = b"{}", 200
        url = urllib.parse.urlsplit(path)
        if url.path == "/_ledger" and method == "GET":
            answer = json.dumps(self.ledger.page("keys" in url.query)).encode()
        elif url.path == "/_ledger" and method == "DELETE":
            self.ledger = Ledger()
        elif url.path == "/_again" and method == "POST":
            self.repeat()
        elif url.path == "/_ends":
            answer = json.dumps(self.ends()).encode()
        elif url.path == "/_faults" and method == "POST":
            faults = json.loads(body)
            self.faults.extend(faults if isinstance(faults, list) else [faults])
        elif url.path == "/_faults" and method == "DELETE":
            self.faults.clear()
        else:
            status = 404
        self.answer(writer, status, answer)

    async def serve_call(self, writer, method, path, headers, body):
        if self.options.canned:
            self.answer(writer, 200, self.canned)
            return True
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        self.ledger.calls[operation] += 1
        self.ledger.attempts.append(round(time.time(), 4))
        self.arrived.set()
        try:
            self.check_signature(method, path, headers, body)
        except Refusal as refusal:
            self.refusal(writer, refusal)
            return True
        fault = self.take_fault(operation)
        kind = fault["kind"] if fault else None
        if kind == "cut":
            raise Cut
        if kind == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Cut
        if kind == "hang":
            await asyncio.sleep(3600)
        if kind == "slow":
            await asyncio.sleep(fault.get("seconds", 1))
        if kind == "refuse":
            # Whoever is cut must find nobody who listens: a connection in the queue would be one that was made.
            await self.leave()
            asyncio.get_running_loop().create_task(self.come_back(fault.get("seconds", 1)))
            raise Cut
        if kind == "error":
            self.refusal(writer, Refusal(fault.get("status", 400), fault["code"], fault.get("message", "as told")))
            return True
        if kind == "html":
            page = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body>\r\n</body></html>"
            self.answer(writer, fault.get("status", 503), page, "text/html")
            return True
        if kind in ("empty", "not-json", "huge"):
            content = b"" if kind == "empty" else fault.get("body", "[1,2").encode() if kind == "not-json" else None
            self.answer(writer, 200, content if content is not None else b" " * fault.get("bytes", 64 << 20))
            return True
        try:
            request = json.loads(body or b"{}")
            answer = self.operation(operation, request, fault)
        except Refusal as refusal:
            self.refusal(writer, refusal)
            return True
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.refusal(writer, Refusal(400, "SerializationException", repr(error)))
            return True
        if kind == "store-then-cut":
            raise Cut
        if kind == "store-then-hang":
            await asyncio.sleep(3600)
        if kind == "store-then-half":
            whole = self.head(200, len(answer), "application/x-amz-json-1.1") + answer
            writer.write(whole[:len(whole) - len(answer) // 2])
            await writer.drain()
            raise Cut
        if kind == "drip":
            whole = self.head(200, len(answer), "application/x-amz-json-1.1") + answer
            for index in range(len(whole)):
                writer.write(whole[index:index + 1])
                await asyncio.sleep(fault.get("interval", 0.5))
            return True
        self.answer(writer, 200, answer)
        await writer.drain()
        return kind != "close"

    def refusal(self, writer, refusal):
        body = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
        self.answer(writer, refusal.status, body)

    def answer(self, writer, status, body, content_type="application/x-amz-json-1.1"):
        writer.write(self.head(status, len(body), content_type) + body)

    def head(self, status, length, content_type):
        return (
            f"HTTP/1.1 {status} x\r\nx-amzn-RequestId: {self.random.getrandbits(64):016x}\r\n"
            f"Date: {email.utils.formatdate(self.now(), usegmt=True)}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--page", type=int, default=1000, help="shards that one ListShards gives at most")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--record-bytes", type=int, default=1 << 20)
    parser.add_argument("--access-key")
    parser.add_argument("--secret-key", default="")
    parser.add_argument("--session-token")
    parser.add_argument("--clock-offset", type=int, default=0)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--discard", action="store_true")
    parser.add_argument("--canned", type=int, default=0)
    parser.add_argument("--rate-limit", type=int, nargs="?", const=1000)
    server = Server(parser.parse_args())
    await server.listen()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, server.wanted.set)
    # A process inherits what the thread that starts it has blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    print(f"port {server.port}", flush=True)
    # Ends with whoever started it: its standard input is a pipe that closes then.
    loop = asyncio.get_running_loop()
    if not sys.stdin.isatty():
        ended = loop.create_future()
        try:
            loop.add_reader(sys.stdin.fileno(), lambda: sys.stdin.buffer.read1(4096) or ended.done() or ended.set_result(None))
        except (PermissionError, ValueError, OSError):
            pass
        await ended
    else:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
