"""The commands and settings of compose.yaml, without an engine: the same processes, other addresses."""

from __future__ import annotations

import contextlib
import os
import subprocess

import boto3
import pytest
from machines import REGION, binary, eventually, free_port, get, process, redis, stand_in, stop
from tree import ROOT, Tree

SERVICES = {"adtrack": "/health/ready", "updater": "/health/check", "consumer": "/health/ready"}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """Yields the running services, with the port of each one's management."""
    folder = tmp_path_factory.mktemp("compose")
    with contextlib.ExitStack() as all:
        endpoint = all.enter_context(stand_in(folder))
        cache = all.enter_context(redis(folder))
        found = {"endpoint": endpoint, "public": free_port()}
        for name, path in SERVICES.items():
            state, management = folder / name, free_port()
            state.mkdir()
            places = {"http://aws:5000": endpoint, "/secrets": str(cache.secrets), "/var/lib/adtrack": str(state)}
            # What the image sets, what compose sets, and what differs here.
            settings = {"ADTRACK_JOURNAL": "/var/lib/adtrack/journal"} | Tree().compose["services"][name]["environment"]
            for there, here in places.items():
                settings = {key: value.replace(there, here) for key, value in settings.items()}
            settings |= {"PATH": os.environ["PATH"], "ADTRACK_MANAGEMENT_HOST": "127.0.0.1"}
            settings |= {"ADTRACK_MANAGEMENT_PORT": str(management)}
            if name == "adtrack":
                settings |= {"ADTRACK_HOST": "127.0.0.1", "ADTRACK_PORT": str(found["public"]), "ADTRACK_EVENT_LOOPS": "1"}
            command = Tree().compose["services"][name].get("command", ["serve"])
            running = all.enter_context(process([binary(), *command], state / "log", cwd=state, env=settings))
            log = state / "log"
            assert eventually(lambda: get(f"http://127.0.0.1:{management}{path}")[0] == 200), log.read_text()
            found[name] = (running, management)
        yield found


def test_programs_come_in_and_rows_come_out(system) -> None:
    address = f"http://127.0.0.1:{system['public']}/event"
    for program in ("212312", "212313", "212314"):
        assert eventually(lambda: get(f"{address}/{program}")[0] == 200), program
    page = f"http://127.0.0.1:{system['consumer'][1]}/metrics"
    assert eventually(lambda: 'adtrack_consume_events_total{result="stored"} 3' in get(page)[1]), get(page)[1]
    dynamodb = boto3.client(
        "dynamodb", endpoint_url=system["endpoint"], region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    )
    rows = dynamodb.scan(TableName="events")["Items"]
    assert {row["program_id"]["S"] for row in rows} == {"212312", "212313", "212314"} and len(rows) == 3


def test_health_checks_tell_who_is_there(system) -> None:
    script = ROOT / "Deploy/container/health-check"
    for name in ("consumer", "updater"):
        *_, path = Tree().compose["services"][name]["healthcheck"]["test"]
        port = str(system[name][1])
        assert subprocess.run([script, port, path]).returncode == 0
        assert subprocess.run([script, port, "/nowhere"]).returncode != 0


def test_they_end_when_they_are_told_to(system) -> None:
    assert [stop(system[name][0]) for name in ("adtrack", "consumer", "updater")] == [0, 0, 0]
