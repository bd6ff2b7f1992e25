"""What the files of the tree say: settings, metrics, pages and times of the sources, and everything in Deploy/."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


class Template(yaml.SafeLoader):
    """CloudFormation's short forms as the long ones."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


Template.add_multi_constructor("!", _intrinsic)


def seconds(text: str | int | float) -> float:
    """Of a time as adtrack, compose and systemd write it."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", str(text))
    assert match, f"{text} is no time"
    return float(match[1]) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[match[2]]


class Tree:
    """A tree of files; the planted mistakes are made in a copy of it."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.deploy = root / "Deploy"

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def yaml(self, path: str):
        return yaml.safe_load(self.text(path))

    # The sources.

    def swift(self, *rooms: str) -> str:
        folders = [self.root / "Sources" / room for room in rooms] if rooms else [self.root / "Sources"]
        return "\n".join(file.read_text() for folder in folders for file in sorted(folder.rglob("*.swift")))

    @cached_property
    def all_swift(self) -> str:
        return self.swift()

    def _settings(self, sources: str) -> dict[str, str]:
        """From the environment's names to the flags."""
        flags = re.findall(r'= Setting\(\s*"([a-z0-9-]+)",\s*"[A-Za-z0-9.]+"', sources)
        names = {"ADTRACK_" + flag.upper().replace("-", "_"): flag for flag in flags}
        for name in re.findall(r'environment\["(ADTRACK_[A-Z_]+)"\]', self.swift("adtrack")):
            names.setdefault(name, name.removeprefix("ADTRACK_").lower())
        return names

    @cached_property
    def settings(self) -> dict[str, str]:
        """Of all commands."""
        return self._settings(self.swift("adtrack"))

    @cached_property
    def serve_settings(self) -> dict[str, str]:
        """Of `adtrack serve`."""
        return self._settings(self.text("Sources/adtrack/Setting.swift"))

    @cached_property
    def metrics(self) -> set[str]:
        return set(re.findall(r'"(adtrack_[a-z0-9_]+)"', self.all_swift))

    @cached_property
    def routes(self) -> set[str]:
        return set(re.findall(r'Route\(\s*"(/[a-z/]+)"', self.swift("adtrack")))

    def default(self, name: str) -> int:
        match = re.search(rf"var {name} = ([\d_]+)", self.text("Sources/adtrack/ServeConfiguration.swift"))
        assert match, f"ServeConfiguration has no {name}"
        return int(match[1].replace("_", ""))

    def management_port(self, command: str) -> int:
        """The default of a command."""
        if command == "serve":
            return self.default("managementPort")
        source = self.text(f"Sources/adtrack/{command.capitalize()}Command.swift")
        match = re.search(r"StreamConfiguration\(settings, managementPort: (\d+)\)", source)
        assert match, f"{command} names no management port"
        return int(match[1])

    @cached_property
    def longest_drain(self) -> float:
        match = re.search(r"longestDrain = Duration\.seconds\((\d+)\)", self.swift("adtrack"))
        assert match, "the sources name no longest drain"
        return float(match[1])

    @cached_property
    def readme_defaults(self) -> dict[str, str]:
        """From flags to defaults, as the README's first table that names them has them: that of `serve`."""
        defaults: dict[str, str] = {}
        for line in self.text("README.md").splitlines():
            cells = [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]
            flags = re.findall(r"`--([a-z0-9-]+)`", cells[0]) if len(cells) == 4 else []
            values = [value.strip(" `") for value in cells[2].split(",")] if flags else []
            if len(flags) == len(values):
                defaults = dict(zip(flags, values)) | defaults
        return defaults

    # Deploy/.

    @cached_property
    def templates(self) -> dict[str, dict]:
        files = sorted((self.deploy / "aws").glob("*.yaml"))
        return {file.stem: yaml.load(file.read_text(), Template) for file in files}

    def resources(self, kind: str):
        """(template, name, properties) of all resources of a type."""
        for stem, template in self.templates.items():
            for name, resource in template["Resources"].items():
                if resource["Type"] == kind:
                    yield stem, name, resource.get("Properties", {})

    @cached_property
    def compose(self) -> dict:
        return self.yaml("Deploy/compose.yaml")

    def compose_command(self, name: str) -> str:
        """Which command of adtrack a service of compose runs."""
        return self.compose["services"][name].get("command", ["serve"])[0]

    @cached_property
    def manifests(self) -> list[dict]:
        found = []
        for file in sorted((self.deploy / "kubernetes").glob("*.yaml")):
            found += [document for document in yaml.safe_load_all(file.read_text()) if document]
        return found

    def manifest(self, kind: str, name: str = "adtrack") -> dict:
        found = [m for m in self.manifests if m["kind"] == kind and m["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} manifests are {kind} {name}"
        return found[0]

    @cached_property
    def alerts(self) -> list[dict]:
        return [rule for group in self.yaml("Deploy/monitoring/alerts.yaml")["groups"] for rule in group["rules"]]

    @cached_property
    def dashboard(self) -> dict:
        return json.loads(self.text("Deploy/monitoring/dashboard.json"))

    @cached_property
    def queries(self) -> dict[str, str]:
        """PromQL, by where it stands."""
        found = {f"alert {alert['alert']}": alert["expr"] for alert in self.alerts}
        for panel in self.dashboard["panels"]:
            for target in panel.get("targets", []):
                found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
        for variable in self.dashboard["templating"]["list"]:
            found[f"variable {variable['name']}"] = variable["query"]["query"]
        return found


def walk(value):
    """Every mapping and list and scalar below a value."""
    yield value
    if isinstance(value, dict):
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)
