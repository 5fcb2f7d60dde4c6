"""Runs the test of a mutant on a copy of the tree, and tells a catch from every other failure."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.mutants.catalogue import EntryInvalid, Mutant

TEST_SECONDS: Final = 180
_BY_ASSERTION: Final = ("AssertionError", "assert ", "Failed: ")
_CRASH: Final = re.compile(
    r"\b(?:500|INTERNAL|UNKNOWN|(?:Type|Name|Attribute|UnboundLocal|Import|Key|Index|Value|Runtime)Error)\b"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a test run: its first failure, or a problem that is no failure."""

    problem: str = ""
    message: str = ""
    line: str = ""


def why_not_caught(mutant: Mutant, tree: Path, scratch: Path) -> str | None:
    """Return why the mutant survived, or None if its test failed as expected."""
    copy = scratch / mutant.name
    shutil.copytree(tree, copy, copy_function=os.link)
    try:
        for path, text in mutant.mutated(copy).items():
            path.unlink()
            path.write_text(text)
    except (EntryInvalid, SyntaxError) as invalid:
        return str(invalid)
    # Once more where the failure is another one: a busy machine may have broken the test.
    return judge(mutant.fails_with, run_test(mutant.test, copy)) and judge(
        mutant.fails_with, run_test(mutant.test, copy)
    )


def judge(fails_with: str, outcome: Outcome) -> str | None:
    """Return why this outcome is not the expected failure, or None if it is."""
    if outcome.problem:
        return outcome.problem
    told = f"it failed with: {outcome.message[:500]}\n    at: {outcome.line}"
    if not outcome.message.startswith(_BY_ASSERTION) and fails_with not in outcome.message:
        return f"the test failed, but not by assertion\n    {told}"
    if fails_with not in f"{outcome.message}\n{outcome.line}":
        return f"the test failed by another assertion than {fails_with!r}\n    {told}"
    crash = _CRASH.search(outcome.message)
    if crash and crash[0] not in fails_with:
        return f"the mutated code crashed ({crash[0]}), or fails_with should say so\n    {told}"
    return None


def run_test(test: str, tree: Path) -> Outcome:
    """Run the test with the sources of this tree."""
    sources = [*tree.glob("libs/*/src"), *tree.glob("services/*/src"), *tree.glob("tools/*/src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))}
    environment.pop("CI", None)
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--junitxml={report}", test]
    try:
        run = subprocess.run(
            pytest, cwd=tree, env=environment, capture_output=True, text=True, timeout=TEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"the test did not end within {TEST_SECONDS} s")
    tail = "\n    ".join([*run.stdout.splitlines()[-25:], *run.stderr.splitlines()[-10:]])
    return read_report(report) if report.exists() else Outcome(problem=f"the test did not run:\n    {tail}")


def read_report(report: Path) -> Outcome:
    """Read the first failure from pytest's report."""
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 — our own pytest wrote it
    errors = [error for case in cases for error in case.iter("error")]
    failures = [failure for case in cases for failure in case.iter("failure")]
    if errors:
        return Outcome(problem=f"the test broke before or after it ran: {errors[0].get('message', '')[:500]}")
    if not failures:
        return Outcome(problem="the test passed" if cases else "no test was collected")
    lines = [line[1:].strip() for line in (failures[0].text or "").splitlines() if line.startswith(">")]
    return Outcome(message=failures[0].get("message", ""), line=" | ".join(lines))
