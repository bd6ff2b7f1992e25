"""Counts what one request costs: instructions and allocations, by valgrind's callgrind.

Counts do not depend on how busy or how fast a machine is, so that they can be held to a limit where times can't: the same
binary gives the same counts within a per cent. One process answers every kind of request in turn, over 64 connections;
counting starts when all that a start needs and a first round of requests is done. Instructions are those of all threads,
the delivery of events to a file included; what the kernel does is not among them.
"""
import argparse
import collections
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from servers import AGENT, Redis, Service, Wrong, wait_until  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 64
HELD = 1_000        # programs that memory holds
COLUMNS = ("instructions", "allocations")
ALLOCATING = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}

Kind = collections.namedtuple("Kind", "name says path status")
KINDS = [
    Kind("hit", "the program is in memory: 200, `write`", lambda n: f"/event/p{n % HELD:07d}", "200"),
    Kind("refusal", "a type that the program does not take: 422", lambda n: f"/event/p{n % HELD:07d}?type=view", "422"),
    Kind("miss", "the program is read from Redis, another one leaves memory: 200", lambda n: f"/event/p{HELD + n:07d}", "200"),
    Kind("unknown", "Redis does not have the program: 404", lambda n: f"/event/u{n:07d}", "404"),
]


class Counted(Service):
    """The service under callgrind."""

    def __init__(self, binary, directory, arguments):
        self.directory = directory
        super().__init__(binary, ",".join(map(str, os.sched_getaffinity(0))), directory + "/log", arguments)
        self.command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/count", "--dump-line=no",
            *self.command,
        ]

    def start(self):
        """Some ten times slower than without callgrind."""
        self.launch(self.command, self.cpus, self.log)
        wait_until(lambda: self.answers(self.port, "/health/ready"), 120, "the service is not ready")

    def control(self, option):
        done = subprocess.run(
            ["callgrind_control", option, str(self.pid)], check=False, capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0 or "OK" not in done.stdout:
            raise Wrong("callgrind does not listen (does this system forbid ptrace?): " + done.stdout + done.stderr)

    def forget(self):
        self.control("--zero")

    def counts(self):
        """Since `forget`: instructions, and calls of the functions that allocate."""
        before = set(os.listdir(self.directory))
        self.control("--dump")
        new = [name for name in os.listdir(self.directory) if name.startswith("count.") and name not in before]
        if len(new) != 1:
            raise Wrong(f"callgrind wrote {new}")
        with open(f"{self.directory}/{new[0]}", encoding="utf-8", errors="replace") as profile:
            return parsed(profile)


def parsed(profile):
    """What callgrind's format says (valgrind's manual, "Callgrind Format Specification")."""
    names, events, totals, callee, allocations = {}, [], [], "", 0
    for line in profile:
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            if match[2]:
                names[match[1]] = re.sub(r"'\d+$", "", match[2])
            if line.startswith("cfn="):
                callee = names.get(match[1], "")
        elif line.startswith("calls=") and callee in ALLOCATING:
            allocations += int(line[6:].split()[0])
        elif line.startswith("events:"):
            events = line.split()[1:]
        elif line.startswith(("totals:", "summary:")):
            totals = [int(word) for word in line.split()[1:]]
    total = dict(zip(events, totals))
    return {"instructions": total["Ir"], "allocations": allocations}


class Load:
    """Connections that each ask again when all have their answers."""

    def __init__(self, port):
        self.connections = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(CONNECTIONS)]
        self.asked = collections.Counter()

    def ask(self, kind, count):
        """Asks for so many paths that were not asked for before."""
        for _ in range(count // CONNECTIONS):
            for connection in self.connections:
                path = kind.path(self.asked[kind.name])
                self.asked[kind.name] += 1
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\n\r\n".encode())
            for connection in self.connections:
                answer = connection.recv(1 << 16)
                while answer and not answer.endswith(b"}"):
                    answer += connection.recv(1 << 16)
                if answer[9:12].decode() != kind.status:
                    raise Wrong(f"{kind.name}: not {kind.status}: {answer[:200]}")

    def close(self):
        for connection in self.connections:
            connection.close()


def size(directory):
    return sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(directory) for name in names)


def await_delivery(directory):
    """Until the files of events have grown no more for a while."""
    before, since = size(directory), time.monotonic()
    while time.monotonic() - since < 0.4:
        time.sleep(0.05)
        if (now := size(directory)) != before:
            before, since = now, time.monotonic()


def measure(binary, directory, count):
    """Counts a request, by kind."""
    # Debian 12's valgrind does not understand all of Swift's debug information; names are enough.
    subprocess.run(["strip", "--strip-debug", "-o", directory + "/adtrack", binary], check=True, timeout=60)
    binary = directory + "/adtrack"
    redis = Redis(directory + "/redis", ",".join(map(str, os.sched_getaffinity(0))))
    redis.start()
    service = Counted(binary, directory, [
        "--journal", directory + "/journal", "--sink", "file:" + directory + "/events", "--durability", "write",
        "--event-loops", "1", "--cache-capacity", str(HELD), "--redis", redis.url, "--redis-timeout", "20s",
        "--log-level", "warning",
    ])
    try:
        redis.take_in(binary, write_programs(directory, HELD + count + CONNECTIONS * 16))
        service.start()
        load = Load(service.port)
        found = {}
        for kind in KINDS:
            load.ask(kind, HELD + CONNECTIONS if kind.name == "hit" else CONNECTIONS * 4)
            await_delivery(directory + "/events")
            service.forget()
            load.ask(kind, count)
            await_delivery(directory + "/events")
            found[kind.name] = {name: number / count for name, number in service.counts().items()}
        load.close()
        return found
    finally:
        service.end()
        redis.end()


def write_programs(directory, count):
    path = directory + "/programs.json"
    program = ('{{"programId": "p{0:07d}", "programName": "Program {0}", "checksum": "c{0}", "customerId": {1}, '
               '"customerName": "Customer {1}", "valid": true}}')
    with open(path, "w", encoding="ascii") as file:
        file.write("[" + ",\n".join(program.format(number, number % 100) for number in range(count)) + "]")
    return path


def limits(path):
    """By kind; a line is a kind and its limits, in the order of `COLUMNS`."""
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {name: dict(zip(COLUMNS, map(float, numbers))) for name, *numbers in rows}


def report(found, bounds):
    """Prints the table; what is above its limit."""
    above = []
    print("| a request | instructions | allocations |\n|---|--:|--:|")
    for kind in KINDS:
        counts = found[kind.name]
        print(f"| `{kind.name}`: {kind.says} | {counts['instructions']:,.0f} | {counts['allocations']:.2f} |")
        for name, bound in bounds.get(kind.name, {}).items():
            if counts[name] > bound:
                above.append(f"{kind.name}: {counts[name]:,.2f} {name} a request, the limit is {bound:,.2f}")
    return above


def main():
    parser = argparse.ArgumentParser(
        prog="Deploy/benchmark --count", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=6400, help="of each kind, 640 to 1,000,000 (6,400)")
    parser.add_argument("--limits", default=HERE + "/limits", help="a file of limits (Deploy/benchmarks/limits)")
    wanted = parser.parse_args()
    if not 640 <= wanted.requests <= 1_000_000:
        parser.error("--requests is 640 to 1,000,000")
    count = wanted.requests // CONNECTIONS * CONNECTIONS
    directory = tempfile.mkdtemp(prefix="adtrack-count-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        found = measure(os.path.abspath(os.environ["ADTRACK_BINARY"]), directory, count)
    except (Wrong, OSError, subprocess.SubprocessError) as problem:
        print(f"Deploy/benchmark --count: {problem}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if platform.machine() != "x86_64":
        print("The limits are of x86_64: nothing is compared.")
    above = report(found, limits(wanted.limits) if platform.machine() == "x86_64" else {})
    for sentence in above:
        print("Above its limit: " + sentence, file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
