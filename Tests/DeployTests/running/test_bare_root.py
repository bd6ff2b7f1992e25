"""The binary in the image's root file system, without an engine: nothing missing, nothing writable, nothing allowed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest
from machines import binary, eventually, free_port, get, process, stop
from tree import ROOT

TESTS = ROOT / "Tests/DeployTests"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for its mounts")


@pytest.fixture(scope="module")
def root() -> Path:
    made = subprocess.run([TESTS / "bare-root"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


def inside(root: Path, state: Path, *program: str) -> list:
    return ["unshare", "--mount", "/usr/bin/python3", TESTS / "in_bare_root.py", root, state, binary(), *program]


@pytest.fixture
def state(tmp_path) -> Path:
    # In the image it is the user's own; above it nothing is locked.
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    place = tmp_path / "state"
    place.mkdir()
    return place


def environment(port: int, management: int, **more: str) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "ADTRACK_HOST": "127.0.0.1", "ADTRACK_PORT": str(port),
        "ADTRACK_MANAGEMENT_PORT": str(management), "ADTRACK_EVENT_LOOPS": "1",
        "ADTRACK_JOURNAL": "/var/lib/adtrack/journal", "ADTRACK_SINK": "file:/var/lib/adtrack/events",
    } | more  # fmt: skip


def test_no_library_is_missing(root, state) -> None:
    listed = subprocess.run([str(w) for w in inside(root, state, "ldd", "/usr/local/bin/adtrack")], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert "not found" not in listed.stdout
    for library in ("libhiredis", "libcurl", "libsqlite3", "libstdc++"):
        assert library in listed.stdout, f"the binary does not need {library}: the image need not have it"


def test_it_serves_and_drains_without_any_right(root, state, tmp_path) -> None:
    port, management = free_port(), free_port()
    log = tmp_path / "log"
    with process(inside(root, state, "adtrack", "serve"), log, env=environment(port, management)) as running:
        assert eventually(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200), log.read_text()
        status = Path(f"/proc/{running.pid}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s+10001\s+10001\s+10001$", status, re.M)
        for field, value in (("CapEff", "0" * 16), ("CapBnd", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")):
            assert re.search(rf"^{field}:\s+{value}$", status, re.M), f"{field}: {status}"
        mounts = Path(f"/proc/{running.pid}/mountinfo").read_text()
        assert re.search(r" / ro[, ]", mounts), mounts
        for _ in range(50):
            assert get(f"http://127.0.0.1:{port}/event/212312")[0] == 200
        probe = inside(root, state, "health-check", str(management), "/metrics")
        assert subprocess.run([str(w) for w in probe], env=environment(port, management)).returncode == 0
        probe = inside(root, state, "health-check", str(port), "/nowhere")
        assert subprocess.run([str(w) for w in probe], env=environment(port, management)).returncode != 0
        assert stop(running) == 0, log.read_text()
    printed = subprocess.run([binary(), "events", state / "events"], capture_output=True, text=True).stdout
    ids = {json.loads(line)["messageId"] for line in printed.splitlines()}
    assert len(ids) == 50


def test_it_consumes_into_a_table_there(root, state, tmp_path) -> None:
    """With nothing but the image's libraries: neither the build's folders nor its resources."""
    port, management = free_port(), free_port()
    with process(inside(root, state, "adtrack", "serve"), tmp_path / "s", env=environment(port, management)) as running:
        assert eventually(lambda: get(f"http://127.0.0.1:{port}/health/ready")[0] == 200), (tmp_path / "s").read_text()
        ids = {json.loads(get(f"http://127.0.0.1:{port}/event/212312")[1])["messageId"] for _ in range(20)}
        assert stop(running) == 0
    words = ["consume", "--from", "file:/var/lib/adtrack/events", "--to", "sqlite:/var/lib/adtrack/rows"]
    with process(inside(root, state, "adtrack", *words), tmp_path / "c", env=environment(port, management)) as running:
        page = f"http://127.0.0.1:{management}/metrics"
        stored = 'adtrack_consume_events_total{result="stored"} 20'
        assert eventually(lambda: stored in get(page)[1]), (tmp_path / "c").read_text()
        assert stop(running) == 0
    with contextlib.closing(sqlite3.connect(state / "rows")) as table:
        assert {id for (id,) in table.execute("SELECT message_id FROM events")} == ids


def test_authorities_of_tls_are_there(root) -> None:
    """For AWS and rediss:// with a public certificate."""
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    assert bundle.read_text().count("BEGIN CERTIFICATE") > 100


def test_the_root_can_not_be_written(root, state) -> None:
    for place in ("/usr/local/bin/x", "/etc/x", "/x"):
        done = subprocess.run([str(w) for w in inside(root, state, "touch", place)], capture_output=True, text=True)
        assert done.returncode != 0 and "Read-only" in done.stderr, place
    assert subprocess.run([str(w) for w in inside(root, state, "touch", "/var/lib/adtrack/x")]).returncode == 0


def test_each_takes_a_journal_of_its_own_and_the_next_inherits(root, state, tmp_path) -> None:
    def start(log: Path):
        port, management = free_port(), free_port()
        slots = {"ADTRACK_JOURNAL_SLOTS": "/var/lib/adtrack", "ADTRACK_SINK": f"file:/var/lib/adtrack/events-{port}"}
        words = inside(root, state, "in-journal-slot", "serve")
        return port, process(words, log, env=environment(port, management) | slots)

    def answers(port: int) -> bool:
        return bool(eventually(lambda: get(f"http://127.0.0.1:{port}/event/212312")[0] == 200))

    first_port, first = start(tmp_path / "1")
    second_port, second = start(tmp_path / "2")
    with second as two:
        with first as one:
            assert answers(first_port) and answers(second_port), (tmp_path / "1").read_text() + (tmp_path / "2").read_text()
            assert sorted(folder.name for folder in state.iterdir() if folder.name.isdigit()) == ["0", "1"]
            assert all(list((state / slot / "journal").glob("*.seg")) for slot in "01")
            one.kill()
            one.wait()
        third_port, third = start(tmp_path / "3")
        with third as three:
            assert answers(third_port), (tmp_path / "3").read_text()
            # No third one: the dead one's was taken.
            assert sorted(folder.name for folder in state.iterdir() if folder.name.isdigit()) == ["0", "1"]
            assert [stop(each) for each in (two, three)] == [0, 0]
