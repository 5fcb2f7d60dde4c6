"""Runs the catalogue of mutants (`make test-mutants`), or proves in seconds that it applies (`make mutants-apply`)."""

import argparse
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.mutants.catalogue import Mutant, read_catalogue
from tests.mutants.checking import faults_of

ROOT: Final = Path(__file__).parent.parent.parent
_NOT_COPIED: Final = shutil.ignore_patterns(".git", ".holdfast", ".hypothesis", ".tools", ".venv", ".*_cache")
_BY_ASSERTION: Final = ("AssertionError", "assert ", "Failed: ")
_CRASH: Final = re.compile(
    r"(?<=status=)500|(?<=[([ ])500(?=[,)\] ])|\b(?:INTERNAL|internal|(?:Type|Name|Attribute|Key|Index|Value)Error)\b"
)


def main() -> int:
    """Check or run the entries; return 1 if any has a fault or survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apply-only", action="store_true", help="only prove that every entry applies")
    parser.add_argument("--changed", metavar="REF", help="run entries whose code or test changed since REF")
    parser.add_argument("--leave-out", metavar="FOLDER", default="", help="run no entry whose test is in a folder")
    parser.add_argument("--minutes", type=float, help="begin no entry after this time; run them in a random order")
    parser.add_argument("names", nargs="*", help="names of entries; all if none is given")
    wanted = parser.parse_args()
    mutants = read_catalogue(ROOT / "tests/mutants/catalogue")
    if wanted.apply_only:
        faults = list(faults_of(mutants, ROOT))
        sys.stdout.writelines(f"{fault}\n" for fault in faults)
        return 1 if faults else 0
    if unknown := set(wanted.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no entry is named {' or '.join(sorted(unknown))}")
    mutants = [mutant for mutant in mutants if not wanted.names or mutant.name in wanted.names]
    if wanted.leave_out:
        mutants = [mutant for mutant in mutants if not mutant.test.startswith(f"{wanted.leave_out}/")]
    mutants = _changed_since(wanted.changed, mutants) if wanted.changed else mutants
    if wanted.minutes is None:
        return _run(mutants)
    return _run(random.sample(mutants, len(mutants)), ends_at=time.monotonic() + 60 * wanted.minutes)


def _changed_since(ref: str, mutants: Sequence[Mutant]) -> list[Mutant]:
    """Select the entries whose edited file or test file differs from the commit where this branch left the ref."""
    listed = ""
    for git in (["git", "diff", "--name-only", "--merge-base", ref], ["git", "ls-files", "-o", "--exclude-standard"]):
        listed += subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    changed = {ROOT / name for name in listed.splitlines()}
    files = {each: {ROOT / each.test.partition("::")[0], *(edit.path(ROOT) for edit in each.edits)} for each in mutants}
    return [mutant for mutant in mutants if files[mutant] & changed]


def _run(mutants: Sequence[Mutant], ends_at: float = math.inf) -> int:
    left_out = 0
    survived: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch, ThreadPoolExecutor(2) as pool:
        tree = shutil.copytree(ROOT, Path(scratch, "tree"), ignore=_NOT_COPIED)

        def examined(mutant: Mutant) -> tuple[Mutant, str, float] | None:
            began = time.monotonic()
            if began > ends_at:
                return None
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                why = why_survived(mutant, tree, Path(folder, mutant.name))
            return mutant, why, time.monotonic() - began

        for each in pool.map(examined, mutants):
            if each is None:
                left_out += 1
                continue
            mutant, why, seconds = each
            survived += [mutant.name] if why else []
            verdict = f"SURVIVED {mutant.test}: {why}" if why else "caught"
            sys.stdout.write(f"{mutant.name} ({mutant.guard}, {seconds:.1f} s): {verdict}\n")
            sys.stdout.flush()
    caught = len(mutants) - len(survived) - left_out
    names = f" ({', '.join(survived)})" * bool(survived)
    sys.stdout.write(
        f"{caught} caught, {len(survived)} survived{names}" + f", {left_out} left out" * bool(left_out) + "\n"
    )
    return 1 if survived else 0


def why_survived(mutant: Mutant, tree: Path, copy: Path) -> str:
    """Run the mutant's test on a mutated copy of the tree; return an empty string if it failed as expected."""
    shutil.copytree(tree, copy, copy_function=os.link)
    (copy / ".tools").symlink_to(ROOT / ".tools")  # Tests of manifests call kustomize.
    texts: dict[Path, str] = {}
    mutant.apply(copy, texts)
    for path, text in texts.items():
        path.unlink()  # The tree has the same file.
        path.write_text(text)
    # Once more where it failed otherwise: on a busy machine the test may have broken before its assertion.
    return _why_not_caught(mutant, copy) and _why_not_caught(mutant, copy)


def _why_not_caught(mutant: Mutant, tree: Path) -> str:
    sources = [*tree.glob("libs/*/src"), *tree.glob("services/*/src"), *tree.glob("tools/*/src")]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, sources))
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    pytest = [sys.executable, "-m", "pytest", "-vvx", "-pno:cacheprovider", f"--junitxml={report}", mutant.test]
    run = subprocess.run(pytest, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    cases = ET.parse(report).getroot() if report.exists() else ET.Element("none")  # noqa: S314 — pytest wrote it
    for error in cases.iter("error"):
        return f"the test broke before or after it ran: {error.get('message', '')[:500]}"
    for failure in cases.iter("failure"):
        return judge(mutant.fails_with, failure.get("message", ""), failure.text or "")
    passed = cases.find(".//testcase") is not None
    return "the test passed" if passed else f"no test ran: {run.stdout[-2000:]}{run.stderr[-2000:]}"


def judge(fails_with: str, message: str, report: str) -> str:
    """Return why a failure is not the expected one, or an empty string. The report marks failing lines with `>`."""
    lines = "\n".join(line for line in report.splitlines() if line.startswith(">"))
    shown = f"{message[:500]}\n{lines}"
    if fails_with not in (f"{message}\n{lines}" if message.startswith(_BY_ASSERTION) else message):
        return f"the test failed, but not with {fails_with!r}: {shown}"
    crash = _CRASH.search(message)
    if crash and crash[0] not in fails_with:
        return f"the mutated code seems to have crashed ({crash[0]}): {shown}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
