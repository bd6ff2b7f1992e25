"""The programs of a run: the service, the load generator, Redis. Each is ended by its own process id."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from loopback import Failure, free_port, import_programs, wait_until  # noqa: E402


# For the stand-in for Kinesis, which does not look at them.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "torture", "AWS_SECRET_ACCESS_KEY": "torture", "AWS_REGION": "us-east-1"}


def binary():
    """The program under test."""
    named = os.environ.get("ADTRACK_BINARY")
    if not named or not os.access(named, os.X_OK):
        raise SystemExit(f"Deploy/torture: ADTRACK_BINARY={named} is no program")
    return os.path.abspath(named)


class Running:
    """A process and its end."""

    process = None

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal_and_wait(self, number, within=30):
        """The exit status, None when it had to be killed."""
        self.process.send_signal(number)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def end(self):
        if self.is_running:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Service(Running):
    """`adtrack serve` on ports that it keeps from start to start."""

    def __init__(self, program, arguments, log, slow):
        self.slow = slow
        self.port, self.management = free_port(), free_port()
        self.command = [
            program, "serve", "--host", "127.0.0.1", "--port", str(self.port),
            "--management-port", str(self.management), *arguments,
        ]
        self.log = log
        self.kills = 0
        self.starts = []

    def start(self):
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | CREDENTIALS
            )
        wait_until(lambda: self.answers() or not self.is_running, 30, "the service does not serve")
        if not self.is_running:
            raise Failure("the service did not start: " + self.last_words())
        took = time.monotonic() - began
        self.starts.append(took)
        if took > 1:
            self.slow("the start", took)

    def kill(self):
        if not self.is_running:
            raise Failure("the service had ended by itself: " + self.last_words())
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self):
        if not self.is_running:
            raise Failure("the service had ended by itself: " + self.last_words())
        began = time.monotonic()
        status = self.signal_and_wait(signal.SIGTERM, within=40)
        took = time.monotonic() - began
        if took > 5:
            self.slow("the stop", took)
        return status

    def answers(self):
        try:
            self.get("/ledger", timeout=1)
            return True
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def get(self, path, timeout=5):
        connection = http.client.HTTPConnection("127.0.0.1", self.management, timeout=timeout)
        try:
            connection.request("GET", path)
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def ledger(self):
        return self.get("/ledger")

    def drain(self, within):
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.ledger()["journal"]["pending"] == 0:
                return True
            time.sleep(0.1)
        return False

    def last_words(self):
        with open(self.log, "rb") as log:
            return log.read()[-400:].decode(errors="replace").strip()


class Load(Running):
    """`adtrack load`, which notes every accepted messageId and goes on whatever happens to the service."""

    def __init__(self, program, service, rate, record):
        self.record = record
        self.command = [
            program, "load", f"http://127.0.0.1:{service.port}", "--rate", str(rate), "--duration", "24h",
            "--connections", "32", "--record", record, "--quiet", "--json",
        ]

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self):
        if self.is_running:
            self.signal_and_wait(signal.SIGINT)

    def accepted(self):
        if not os.path.exists(self.record):
            return set()
        with open(self.record, encoding="ascii") as record:
            return set(record.read().split())


class RedisServer(Running):
    """A real one, for the programs and for a stream; without it the sample programs are served."""

    def __init__(self, directory):
        self.program = shutil.which("redis-server")
        if not self.program:
            raise Failure("redis-server is missing: install the Debian package redis-server")
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        os.makedirs(directory)

    def start(self):
        """What it had acknowledged it has again: every write is synced."""
        self.process = subprocess.Popen(
            [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", "",
             "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, 20, "Redis does not answer")

    def stop(self):
        self.signal_and_wait(signal.SIGTERM)

    def heal(self):
        if not self.is_running:
            self.start()
        self.process.send_signal(signal.SIGCONT)

    def answers(self):
        try:
            return self.command("PING") == b"PONG"
        except (OSError, Failure):
            return False

    def command(self, *words):
        """One command, one reply; arrays become lists."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            return self._reply(connection.makefile("rb"))

    def _reply(self, stream):
        line = stream.readline()
        if not line.endswith(b"\r\n"):
            raise Failure("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Failure("Redis says " + rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._reply(stream) for _ in range(int(rest))]
        return rest

    def import_programs(self, program, path):
        programs = [
            {"programId": str(number), "programName": f"Program {number}", "checksum": "c", "customerId": 1,
             "customerName": "Customer", "valid": True}
            for number in (212312, 212313, 212314)
        ]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(programs, file)
        import_programs(program, path, self.url)
