"""What alerts and dashboard ask for, against the pages of what runs: the service, a consumer, an updater."""

from __future__ import annotations

import contextlib
import re

import pytest
from machines import binary, eventually, free_port, get, process, service
from tree import Tree

TREE = Tree()


@contextlib.contextmanager
def worker(folder, command: str, *words: str):
    """Yields the address of a worker's page."""
    port = free_port()
    arguments = [binary(), command, *words, "--management-port", port, "--dead-letter", f"file:{folder}/{command}-dead"]
    with process(arguments, folder / command, cwd=folder):
        address = f"http://127.0.0.1:{port}/metrics"
        assert eventually(lambda: get(address)[0] == 200), (folder / command).read_text()
        yield address


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> str:
    """The lines of all three pages."""
    folder = tmp_path_factory.mktemp("metrics")
    with (
        service(folder, {}) as running,
        worker(folder, "consume", "--from", f"file:{folder}/events", "--to", f"sqlite:{folder}/rows") as consumer,
        # A Redis that is not there: the series stand on the page from the start.
        worker(folder, "update", "--from", "redis:programs", "--redis", f"redis://127.0.0.1:{free_port()}") as updater,
    ):
        assert running.track("/event/212312")[0] == 200
        stored = 'adtrack_consume_events_total{result="stored"} 1'
        assert eventually(lambda: stored in get(consumer)[1]), get(consumer)[1]
        return "\n".join([running.manage("/metrics")[1], get(consumer)[1], get(updater)[1]])


def selectors() -> list[tuple[str, str, str]]:
    return [
        (place, name, labels)
        for place, query in TREE.queries.items()
        for name, labels in re.findall(r"\b(adtrack_[a-z0-9_]+)(?:\{([^}]*)\})?", query)
    ]


@pytest.mark.parametrize(("place", "name", "labels"), selectors())
def test_every_selector_finds_series(pages: str, place: str, name: str, labels: str) -> None:
    lines = [line for line in pages.splitlines() if re.match(rf"{name}[ {{]", line)]
    assert lines, f"{place}: no page has {name}"
    for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', labels):
        # Prometheus adds these.
        if label in ("job", "instance"):
            continue
        values = set(re.findall(rf'{label}="([^"]*)"', "\n".join(lines)))
        if operator == "!=":
            assert values - {value}, f"{place}: nothing but {value}"
        else:
            for wanted in value.split("|") if operator == "=~" else [value]:
                assert wanted in values, f"{place}: {name} has no {label} {wanted}, only {sorted(values)}"


def test_the_pages_have_every_metric_of_the_sources(pages: str) -> None:
    assert {name for name in TREE.metrics if not re.search(rf"^# TYPE {name} ", pages, re.M)} == set()
