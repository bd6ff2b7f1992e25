"""Every command that the papers of this folder name is one that the binary knows, with its flags."""

from __future__ import annotations

import re
import subprocess

import pytest
from machines import binary
from tree import ROOT

FILES = ["README.md", "Deploy/RUNBOOK.md", "Deploy/compose.yaml", "Deploy/systemd/adtrack.env"]
COMMANDS = ["serve", "consume", "update", "programs", "events", "report", "load"]


def named() -> list[tuple[str, str]]:
    """(command, its words) of every code span and indented line that begins with the program."""
    found = set()
    for file in FILES:
        text = (ROOT / file).read_text()
        spans = re.findall(r"`adtrack ([^`]+)`", text) + re.findall(r"^ {4}(?:\S+/)?adtrack ([^#\n]+)", text, re.M)
        found |= {(" ".join(span.split()).split(" ")[0], " ".join(span.split())) for span in spans}
    return sorted(found)


@pytest.fixture(scope="module")
def help() -> dict[str, str]:
    texts = {}
    for command in COMMANDS:
        asked = subprocess.run([binary(), command, "--help"], capture_output=True, text=True)
        assert asked.returncode == 0, asked.stderr
        texts[command] = asked.stdout
    return texts


@pytest.mark.parametrize(("command", "words"), named())
def test_the_binary_knows_what_is_written(help, command: str, words: str) -> None:
    assert command in COMMANDS, words
    for flag in re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", words):
        assert re.search(rf"(?<![\w-]){flag}\b", help[command]), f"adtrack {command} has no {flag}: {words}"


def test_the_papers_are_read() -> None:
    assert {command for command, _ in named()} >= {"consume", "update", "programs", "events", "report"}
    assert any("--replay" in words for _, words in named())
