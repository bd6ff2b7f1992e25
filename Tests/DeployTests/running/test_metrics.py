"""What alerts and dashboard ask for, against the pages of a running service."""

from __future__ import annotations

import re

import pytest
from machines import service
from rule_book import has_command, promised_metrics
from tree import Tree

TREE = Tree()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    with service(tmp_path_factory.mktemp("metrics"), {}) as running:
        assert running.track("/event/212312")[0] == 200
        return running.manage("/metrics")[1]


# Of `adtrack consume` and `update`, not of `serve`.
ELSEWHERE = {"adtrack_consume_events_total", "adtrack_consume_lag_seconds", "adtrack_dead_letter_records_total"}


def selectors() -> list[tuple[str, str, str]]:
    found = []
    for place, query in TREE.queries.items():
        for name, labels in re.findall(r"\b(adtrack_[a-z0-9_]+)(?:\{([^}]*)\})?", query):
            if name not in ELSEWHERE:
                found.append((place, name, labels))
    return found


@pytest.mark.parametrize(("place", "name", "labels"), selectors())
def test_every_selector_finds_series(page: str, place: str, name: str, labels: str) -> None:
    lines = [line for line in page.splitlines() if re.match(rf"{name}[ {{]", line)]
    assert lines, f"{place}: /metrics has no {name}"
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


def test_the_page_has_every_metric_of_the_sources(page: str) -> None:
    missing = {name for name in TREE.metrics - ELSEWHERE if not re.search(rf"^# TYPE {name} ", page, re.M)}
    assert {name for name in missing if not has_command(TREE, "Consume")} == set()
    assert not promised_metrics(TREE) & TREE.metrics
