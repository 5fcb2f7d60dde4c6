"""Applies each patch in turn to a copy of the tree and demands that its named test fails by assertion.

A patch file begins with two lines, `guard: …` (what it removes) and `test: …` (a pytest node id). Run all with
`make test-mutants`, or some with `python -m tests.mutants NAME …`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
AT_ONCE: Final = 2
TEST_SECONDS: Final = 180
BY_ASSERTION: Final = ("AssertionError", "assert ", "Failed: DID NOT RAISE")


class MutantFileInvalid(Exception):
    """The patch file does not say which guard it removes or which test guards it."""


@dataclass(frozen=True)
class Mutant:
    """A guard that can be removed, and the test that must notice."""

    name: str
    patch: Path
    guard: str
    test: str


def read_mutant(patch: Path) -> Mutant:
    """Read a patch file's two header lines. Raises MutantFileInvalid."""
    lines = dict(line.partition(": ")[::2] for line in patch.read_text().splitlines()[:2])
    try:
        return Mutant(patch.stem, patch, guard=lines["guard"], test=lines["test"])
    except KeyError as missing:
        raise MutantFileInvalid(f"{patch.name} has no line {missing}") from None


def survived(mutant: Mutant, tree: Path) -> str | None:
    """Apply the mutant to a copy of the tree and run its test; return why it survived, or None if it was caught."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        copy = Path(scratch) / "tree"
        shutil.copytree(tree, copy)
        applied = subprocess.run(
            ["git", "apply", "--unidiff-zero", str(mutant.patch)], cwd=copy, capture_output=True, text=True, check=False
        )
        if applied.returncode:
            return f"its patch does not apply: {applied.stderr.strip()}"
        # Once more where it was no assertion that failed: a busy machine may have broken the test before it.
        why = _why_not_caught(mutant.test, copy, Path(scratch) / "report.xml")
        return why and _why_not_caught(mutant.test, copy, Path(scratch) / "report-again.xml")


def _why_not_caught(test: str, copy: Path, report: Path) -> str | None:
    try:
        return _verdict(report, _run_test(test, copy, report))
    except subprocess.TimeoutExpired:
        return f"its test did not end within {TEST_SECONDS} s"


def _run_test(test: str, copy: Path, report: Path) -> "subprocess.CompletedProcess[str]":
    sources = [*copy.glob("libs/*/src"), *copy.glob("services/*/src"), *copy.glob("tools/*/src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))}
    environment.pop("CI", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--junitxml={report}", test],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TEST_SECONDS,
        check=False,
    )


def _verdict(report: Path, run: "subprocess.CompletedProcess[str]") -> str | None:
    tail = "\n".join(run.stdout.splitlines()[-25:])
    if not report.exists():
        return f"its test did not run:\n{tail}\n{run.stderr[-2000:]}"
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 — our own pytest wrote it
    failures = [failure for case in cases for failure in case.iter("failure")]
    if any(True for case in cases for _ in case.iter("error")) or not cases:
        return f"its test broke instead of failing:\n{tail}"
    if not failures:
        return "its test passed"
    if not all(failure.get("message", "").startswith(BY_ASSERTION) for failure in failures):
        return f"its test failed, but not by assertion: {failures[0].get('message', '')[:500]}"
    return None


def _copied_tree(into: Path) -> Path:
    """Copy what git tracks or would track, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tree = into / "tree"
    for name in listed.stdout.split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return tree


def _examine(mutants: Sequence[Mutant]) -> Iterable[tuple[Mutant, str | None, float]]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        tree = _copied_tree(Path(scratch))

        def timed(mutant: Mutant) -> tuple[Mutant, str | None, float]:
            began = time.monotonic()
            return mutant, survived(mutant, tree), time.monotonic() - began

        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(timed, mutants)


def main() -> int:
    """Examine the named mutants, or all; exit with 1 if any survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of patches without .patch; all if none is given")
    wanted = parser.parse_args().names
    mutants = [read_mutant(patch) for patch in sorted(HERE.glob("*.patch")) if not wanted or patch.stem in wanted]
    survivors = 0
    for mutant, why, seconds in _examine(mutants):
        survivors += why is not None
        sys.stdout.write(f"{'SURVIVED' if why else 'caught'}  {mutant.name}  ({mutant.guard})  {seconds:.1f} s\n")
        if why:
            sys.stdout.write(f"    {why}\n    test: {mutant.test}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(mutants) - survivors} caught, {survivors} survived\n")
    return 1 if survivors or not mutants else 0


if __name__ == "__main__":
    raise SystemExit(main())
