"""docs/operations.md is complete, and what it names exists. test_references.py checks its links, files and tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from payments_gateway.operator_cli.app import app

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
SOURCES = {
    path: path.read_text()
    for part in ("services", "libs")
    for path in sorted((ROOT / part).glob("*/src/**/*.py"))
    if "_pb2" not in path.name
}
KINDS = {"Counter": "_total", "Gauge": "", "Histogram": "", "Summary": ""}
"""Suffix that Prometheus adds to the name of a metric, by its class."""
ALERTING = {"error", "exception", "critical"}
SAMPLE_SUFFIXES = re.compile(r"_(bucket|sum|count)$")


class Metric(NamedTuple):
    """A metric as Prometheus shows it."""

    name: str
    labels: tuple[str, ...]


def section(title: str) -> str:
    """Return the text below a heading of the second level."""
    return RUNBOOK.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def calls() -> Iterator[ast.Call]:
    """Yield every call in the services and libraries."""
    for source in SOURCES.values():
        yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def literal(node: ast.expr | None) -> object:
    """Return the value of a literal; None for any other expression."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def metrics() -> dict[str, Metric]:
    """Return every metric that is declared, by its name."""
    found = {}
    for call in calls():
        name = literal(call.args[0]) if call.args else None
        if isinstance(call.func, ast.Name) and call.func.id in KINDS and isinstance(name, str):
            labels = literal(next(iter(call.args[2:]), None))
            suffix = KINDS[call.func.id]
            shown = name if name.endswith(suffix) else f"{name}{suffix}"
            found[shown] = Metric(shown, tuple(labels) if isinstance(labels, list | tuple) else ())
    return found


def alerting_lines() -> set[str]:
    """Return the message of every log line of level error."""
    return {
        message
        for call in calls()
        if isinstance(call.func, ast.Attribute) and call.func.attr in ALERTING and "_log" in ast.unparse(call.func)
        if isinstance(message := literal(call.args[0]), str)
    }


def rules() -> list[dict[str, str]]:
    """Return the alert rules."""
    (block,) = re.findall(r"```yaml\n(.+?)```", section("Alerts"), re.DOTALL)
    return [rule for group in yaml.safe_load(block)["groups"] for rule in group["rules"]]


METRICS = metrics()


def test_every_metric_is_explained() -> None:
    """In this page, by the name that Prometheus shows."""
    assert set(METRICS) - set(re.findall(r"holdfast_\w+", RUNBOOK.partition("\n## Alerts\n")[0])) == set()


def test_every_line_of_level_error_is_explained() -> None:
    """In `"quotes"`, so that whoever reads it in the log finds it here."""
    assert alerting_lines() - set(re.findall(r'`"(.+?)"`', RUNBOOK)) == set()


@pytest.mark.parametrize("line", sorted(set(re.findall(r'`"(.+?)"`', RUNBOOK))))
def test_explained_lines_exist(line: str) -> None:
    """In the words of the code."""
    assert any(f'"{line}"' in source for source in SOURCES.values())


@pytest.mark.parametrize("command", ["orders", "payments-gateway"])
def test_every_command_is_named_and_exists(command: str) -> None:
    """By its first word, as the service's parser has it."""
    (main,) = (ROOT / "services" / command / "src").glob("*/__main__.py")

    verbs = re.findall(r'add_parser\("([a-z-]+)"', SOURCES[main])

    assert set(re.findall(rf"`{command} ([a-z-]+)", RUNBOOK)) == set(verbs)


def test_every_verb_of_holdfast_is_named_and_exists() -> None:
    """By its first word."""
    verbs = {each.name for each in app.registered_commands} | {each.name for each in app.registered_groups}

    assert set(re.findall(r"`holdfast ([a-z-]+)", RUNBOOK)) == verbs


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_reads_metrics_and_labels_that_exist(rule: dict[str, str]) -> None:
    """A rule with a misspelt name never fires. `up` is Prometheus's own."""
    for name, _, selector in re.findall(r"(holdfast_\w+)(\{(.*?)\})?", rule["expr"]):
        metric = METRICS[SAMPLE_SUFFIXES.sub("", name) if name not in METRICS else name]
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= set(metric.labels), name


def test_every_fault_has_a_bound_and_a_test() -> None:
    """Each row of the matrix: fault, what a buyer sees, bound, test."""
    rows = [line.strip("| ").split(" | ") for line in section("Resiliency matrix").splitlines() if line[:2] == "| "]

    assert len(rows) > 20
    assert [row[0] for row in rows[1:] if len(row) != 4 or ".py" not in row[3]] == []
