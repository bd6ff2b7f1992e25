"""What the running tests start: the stand-in for AWS, Redis as compose has it, and the built binary. Ended by their ids."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tree import ROOT

REGION = "eu-central-1"


def keys(name: str) -> dict[str, str]:
    """Credentials under a name of their own, so that the stand-in tells who called."""
    return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": "stand-in", "AWS_REGION": REGION}


def binary() -> Path:
    named = os.environ.get("ADTRACK_BINARY")
    for candidate in [Path(named)] if named else [ROOT / ".build/debug/adtrack", ROOT / ".build/release/adtrack"]:
        if candidate.exists():
            return candidate.resolve()
    raise FileNotFoundError("adtrack is not built: `swift build --product adtrack`, or name one in ADTRACK_BINARY")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def eventually(what, within: float = 20):
    """The first true answer of a question that is asked again and again."""
    deadline = time.monotonic() + within
    while True:
        answer = what()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


@contextlib.contextmanager
def process(arguments: list, log: Path, **options) -> Iterator[subprocess.Popen]:
    with log.open("wb") as output:
        running = subprocess.Popen([str(a) for a in arguments], stdout=output, stderr=subprocess.STDOUT, **options)
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()
            running.wait()


def stop(running: subprocess.Popen, within: float = 30) -> int:
    running.send_signal(signal.SIGTERM)
    return running.wait(timeout=within)


@contextlib.contextmanager
def stand_in(folder: Path, *arguments: str) -> Iterator[str]:
    """Moto with one thread; yields its address."""
    port = free_port()
    script = ROOT / "Deploy/compose/aws-stand-in.py"
    with process([sys.executable, script, "127.0.0.1", port, *arguments], folder / "aws.log"):
        endpoint = f"http://127.0.0.1:{port}"
        assert eventually(lambda: get(f"{endpoint}/moto-api/")[0] == 200), (folder / "aws.log").read_text()
        yield endpoint


def calls(folder: Path, key: str) -> set[str]:
    """Actions that the stand-in was asked for with a key, as policies write them."""
    targets = re.findall(rf"^call {key} (\w+?)_\d+\.(\w+)$", (folder / "aws.log").read_text(), re.M)
    return {f"{service.lower()}:{action}" for service, action in targets}


class Redis:
    """Redis with compose's configuration and users, on a free port."""

    def __init__(self, secrets: Path, port: int) -> None:
        self.secrets, self.port = secrets, port
        self.authority = secrets / "ca.pem"

    def url(self, user: str) -> str:
        name = {"adtrack": "serve", "updater": "update"}[user]
        return (self.secrets / f"{name}.yaml").read_text().split("url: ")[1].strip()

    def environment(self, user: str) -> dict[str, str]:
        return {"ADTRACK_REDIS": self.url(user), "ADTRACK_REDIS_CA": str(self.authority)}

    def cli(self, user: str, *command: str) -> str:
        password = self.url(user).split("@")[0].rsplit(":", 1)[1]
        words = ["redis-cli", "--tls", "--cacert", self.authority, "-p", self.port, "--no-auth-warning"]
        words += ["--user", user, "--pass", password, *command]
        return subprocess.run([str(w) for w in words], capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    secrets, port = folder / "secrets", free_port()
    secrets.mkdir()
    compose = ROOT / "Deploy/compose"
    subprocess.run([compose / "make-secrets", secrets, "127.0.0.1"], check=True, env=os.environ | {"REDIS_PORT": str(port)})
    text = (compose / "redis.conf").read_text()
    text = text.replace("/secrets/", f"{secrets}/").replace("dir /data", f"dir {folder}")
    (folder / "redis.conf").write_text(text.replace("tls-port 6379", f"tls-port {port}") + "bind 127.0.0.1\n")
    server = Redis(secrets, port)
    with process(["redis-server", folder / "redis.conf"], folder / "redis.log"):
        assert eventually(lambda: server.cli("adtrack", "PING") == "PONG"), (folder / "redis.log").read_text()
        yield server


class Service:
    """A running `adtrack serve`."""

    def __init__(self, running: subprocess.Popen, port: int, management: int, log: Path) -> None:
        self.running, self.port, self.management, self.log = running, port, management, log

    def track(self, path: str) -> tuple[int, str]:
        return get(f"http://127.0.0.1:{self.port}{path}")

    def manage(self, path: str) -> tuple[int, str]:
        return get(f"http://127.0.0.1:{self.management}{path}")

    @property
    def ledger(self) -> dict:
        return json.loads(self.manage("/ledger")[1])


@contextlib.contextmanager
def service(folder: Path, environment: dict[str, str], ready: bool = True) -> Iterator[Service]:
    port, management = free_port(), free_port()
    settings = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "ADTRACK_HOST": "127.0.0.1", "ADTRACK_PORT": str(port),
        "ADTRACK_MANAGEMENT_PORT": str(management), "ADTRACK_JOURNAL": str(folder / "journal"),
        "ADTRACK_SINK": f"file:{folder / 'events'}", "ADTRACK_EVENT_LOOPS": "1",
    }  # fmt: skip
    log = folder / "adtrack.log"
    with process([binary(), "serve"], log, cwd=folder, env=settings | environment) as running:
        started = Service(running, port, management, log)
        wanted = "/health/ready" if ready else "/health/check"
        assert eventually(lambda: started.track(wanted)[0] == 200), log.read_text()
        yield started
