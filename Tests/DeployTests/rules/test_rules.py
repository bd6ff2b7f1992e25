"""Our own rules, on the tree as it is."""

import pytest
from rule_book import RULES
from tree import Tree

TREE = Tree()


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    assert list(RULES[name](TREE)) == []


def test_the_sources_are_read() -> None:
    assert len(TREE.settings) >= 35 and TREE.settings["ADTRACK_REDIS_KEY_PREFIX"] == "redis-key-prefix"
    assert len(TREE.metrics) >= 19 and "adtrack_journal_sync_seconds" in TREE.metrics
    assert {"/metrics", "/ledger", "/health/check", "/health/ready"} <= TREE.routes
    assert (TREE.default("port"), TREE.default("managementPort"), TREE.longest_drain) == (8080, 9090, 25)
    assert TREE.readme_defaults["journal-max-bytes"] == "1GiB" and len(TREE.readme_defaults) >= 30
    assert len(TREE.queries) > 40
