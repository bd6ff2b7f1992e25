"""The programs of a measurement: the service, nginx, Redis, and the two loads. Each is ended by its own process id."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(HERE))

# What goes wrong in a case: it did not do what its name says, or could not be run.
from loopback import Failure as Wrong, free_port, import_programs, wait_until  # noqa: E402

AGENT = "Mozilla/5.0 (X11; Linux x86_64) Benchmark"


def get(port, path, timeout=5):
    """Status, header names, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": AGENT})
        answer = connection.getresponse()
        return answer.status, sorted(name.lower() for name in answer.headers), answer.read()
    finally:
        connection.close()


class Program:
    """A process on given CPUs, and its end."""

    process = None

    def launch(self, command, cpus, log):
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", cpus, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.log = log

    @property
    def pid(self):
        return self.process.pid

    @property
    def runs(self):
        return self.process is not None and self.process.poll() is None

    def answers(self, port, path):
        if not self.runs:
            with open(self.log, "rb") as log:
                raise Wrong("it did not start: " + log.read()[-400:].decode(errors="replace").strip())
        try:
            return get(port, path, timeout=1)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def end(self, number=signal.SIGKILL):
        """At once, as nothing of a measurement is needed afterwards."""
        if self.runs:
            self.process.send_signal(number)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Service(Program):
    """`adtrack serve` on free ports with a journal of its own."""

    def __init__(self, binary, cpus, log, arguments):
        self.port, self.management = free_port(), free_port()
        self.cpus, self.log = cpus, log
        self.command = [
            binary, "serve", "--host", "127.0.0.1", "--port", str(self.port),
            "--management-port", str(self.management), *arguments,
        ]

    def start(self):
        self.launch(self.command, self.cpus, self.log)
        wait_until(lambda: self.answers(self.port, "/health/ready"), 20, "the service is not ready")

    def ledger(self):
        return json.loads(get(self.management, "/ledger")[2])

    def settled_ledger(self):
        """The books of a fresh service once the requests that the load left behind are answered and in its journal too."""
        books, deadline = self.ledger(), time.monotonic() + 5
        while time.monotonic() < deadline:
            time.sleep(0.05)
            before, books = books, self.ledger()
            # In `memory` an answer does not wait for the journal.
            if books["received"] == before["received"] and books["journal"]["appended"] == books["accepted"]:
                break
        return books

    def metrics(self):
        """Value by series."""
        found = {}
        for line in get(self.management, "/metrics")[2].decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def metric(self, start):
        """The sum of all series whose name begins so."""
        return sum(value for name, value in self.metrics().items() if name.startswith(start))


class Nginx(Program):
    """Says a constant: `return 200`. Each worker has a listener of its own, as each event loop has."""

    def __init__(self, directory, cpus, body, workers):
        self.directory, self.cpus, self.port = directory, cpus, free_port()
        os.makedirs(directory + "/temporary", exist_ok=True)
        # "$" would begin a variable and a quote would end the text; the sample's body has neither.
        if b"$" in body or b"'" in body or b"\\" in body:
            raise Wrong("the body can't be written into nginx' configuration")
        temporary = "".join(
            f"  {kind}_temp_path {directory}/temporary/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        with open(directory + "/nginx.conf", "w", encoding="utf-8") as file:
            file.write(
                f"{user}daemon off;\nworker_processes {workers};\npid {directory}/nginx.pid;\nerror_log stderr warn;\n"
                "events { worker_connections 4096; }\n"
                "http {\n  access_log off;\n  default_type application/json;\n"
                "  keepalive_requests 1000000000;\n  keepalive_timeout 300s;\n" + temporary +
                f"  server {{\n    listen 127.0.0.1:{self.port}{' reuseport' * (workers > 1)};\n    add_header Cache-Control no-store;\n"
                "    location /health/check { return 200 '{}'; }\n"
                f"    location /event/ {{ return 200 '{body.decode()}'; }}\n  }}\n}}\n"
            )

    def start(self):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.launch(
            [program, "-p", self.directory, "-e", "stderr", "-c", self.directory + "/nginx.conf"],
            self.cpus, self.directory + "/log",
        )
        wait_until(lambda: self.answers(self.port, "/health/check"), 10, "nginx does not serve")

    def end(self, number=signal.SIGTERM):
        # Killed, the master would leave its worker behind.
        super().end(signal.SIGTERM)


class Redis(Program):
    """A private one without persistence, beside the load; `aside` it takes only the time that the load leaves."""

    def __init__(self, directory, cpus, aside=False):
        self.directory, self.cpus, self.port = directory, cpus, free_port()
        self.policy = ["chrt", "--idle", "0"] * aside
        self.url = f"redis://127.0.0.1:{self.port}"
        os.makedirs(directory, exist_ok=True)

    def start(self):
        program = shutil.which("redis-server")
        if not program:
            raise Wrong("redis-server is missing")
        self.launch(
            [*self.policy, program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", "",
             "--appendonly", "no", "--daemonize", "no"],
            self.cpus, self.directory + "/log",
        )
        wait_until(self.is_up, 10, "Redis does not answer")

    def is_up(self):
        try:
            return b"PONG" in self.say("PING")
        except OSError:
            return False

    def say(self, words):
        """One inline command; what came of the answer first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(words.encode() + b"\r\n")
            got = connection.recv(1 << 16)
            if got[:1] == b"$":
                size = int(got[1:got.index(b"\r")])
                while len(got) < size:
                    got += connection.recv(1 << 16)
            return got

    def reads(self):
        """Keys found and keys not found, since the start."""
        lines = dict(line.split(":", 1) for line in self.say("INFO stats").decode().split("\r\n") if ":" in line)
        return int(lines["keyspace_hits"]), int(lines["keyspace_misses"])

    def take_in(self, binary, programs):
        import_programs(binary, programs, self.url)


def ask_each(port, paths, connections=1, at_once=1000):
    """Asks for every path on each connection, pipelined; counts the status codes."""
    codes = {}
    for _ in range(connections):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            batch = []
            for path in paths:
                batch.append(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\n\r\n")
                if len(batch) == at_once:
                    _ask_batch(connection, batch, codes)
                    batch = []
            if batch:
                _ask_batch(connection, batch, codes)
    return codes


def _ask_batch(connection, batch, codes):
    connection.sendall("".join(batch).encode())
    got, answers = b"", 0
    # Every answer is JSON that ends with a brace, and only the status line has the version.
    while answers < len(batch) or not got.endswith(b"}"):
        piece = connection.recv(1 << 18)
        if not piece:
            raise Wrong("the service closed a connection")
        got += piece
        answers = got.count(b"HTTP/1.1 ")
    for part in got.split(b"HTTP/1.1 ")[1:]:
        code = part[:3].decode()
        codes[code] = codes.get(code, 0) + 1


def closed_loop(cpus, port, paths, connections, seconds):
    """wrk: each connection asks again when it has its answer."""
    done = subprocess.run(
        ["taskset", "-c", cpus, "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
         "--timeout", "5s", "--script", os.path.join(HERE, "requests.lua"), f"http://127.0.0.1:{port}"],
        check=False, capture_output=True, text=True, timeout=seconds + 60, env=os.environ | {"PATHS": paths, "AGENT": AGENT},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or len(lines) != 1:
        raise Wrong("wrk failed: " + (done.stdout + done.stderr)[-400:])
    return json.loads(lines[0])


def open_loop(cpus, binary, port, paths, connections, seconds, rate):
    """`adtrack load`: requests leave when they are due."""
    done = subprocess.run(
        ["taskset", "-c", cpus, binary, "load", f"http://127.0.0.1:{port}", "--rate", str(rate), "--duration", f"{seconds}s",
         "--connections", str(connections), "--ids", paths, "--json", "--quiet"],
        check=False, capture_output=True, text=True, timeout=seconds + 60,
    )
    if not done.stdout.startswith("{"):
        raise Wrong("adtrack load failed: " + (done.stdout + done.stderr)[-400:])
    return json.loads(done.stdout)
