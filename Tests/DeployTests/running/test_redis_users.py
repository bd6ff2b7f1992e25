"""Redis as compose has it: TLS, and users that may do what adtrack does and no more."""

from __future__ import annotations

import os
import subprocess

import pytest
from machines import binary, eventually, redis, service

PROGRAM = '{"programId": "spring", "programName": "Spring", "customerId": 7, "valid": true}'


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


def programs(cache, user: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | cache.environment(user)
    return subprocess.run([binary(), "programs", *arguments], env=environment, capture_output=True, text=True)


def test_the_updater_writes_and_the_service_follows(cache, tmp_path) -> None:
    with service(tmp_path, cache.environment("adtrack")) as running:
        assert running.track("/event/spring")[0] == 404
        put = programs(cache, "updater", "put", PROGRAM)
        assert put.returncode == 0, put.stderr
        assert eventually(lambda: running.track("/event/spring")[0] == 200, within=5)
        listed = programs(cache, "updater", "list")
        assert listed.stdout.split() == ["spring"], listed.stderr
        assert programs(cache, "updater", "get", "spring").returncode == 0
        assert programs(cache, "updater", "delete", "spring").returncode == 0
        assert eventually(lambda: running.track("/event/spring")[0] == 404, within=5)
        # Nothing that the service sends is refused.
        assert 'adtrack_redis_commands_total{result="error"} 0' in running.manage("/metrics")[1]


def test_the_services_user_can_not_write(cache) -> None:
    put = programs(cache, "adtrack", "put", PROGRAM)
    assert put.returncode != 0
    assert cache.cli("adtrack", "HSET", "program:spring", "valid", "true").startswith("NOPERM")
    assert cache.cli("adtrack", "HGETALL", "other:spring").startswith("NOPERM")
    assert cache.cli("updater", "FLUSHALL").startswith("NOPERM")
    assert cache.cli("updater", "CONFIG", "GET", "*").startswith("NOPERM")


def test_without_tls_or_a_password_nobody_gets_in(cache) -> None:
    plain = subprocess.run(["redis-cli", "-p", str(cache.port), "PING"], capture_output=True, text=True, timeout=10)
    assert "PONG" not in plain.stdout
    words = ["redis-cli", "--tls", "--cacert", str(cache.authority), "-p", str(cache.port), "PING"]
    assert subprocess.run(words, capture_output=True, text=True, timeout=10).stdout.startswith("NOAUTH")
