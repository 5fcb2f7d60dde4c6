"""Proves without running a test that every entry applies, and that the mutated code compiles and type-checks."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.mutants.catalogue import EntryInvalid, Mutant

AT_ONCE: Final = 2


def faults_of(mutants: Sequence[Mutant], root: Path) -> list[str]:
    """Tell what is wrong with each entry that does not apply, has no test, or does not compile or type-check."""
    faults = []
    for mutant in mutants:
        try:
            mutant.require_test(root)
            mutant.mutated(root)
        except (EntryInvalid, SyntaxError) as invalid:
            faults.append(f"{mutant.name}: {invalid}")
    return faults or _type_errors(mutants, root)


@dataclass(slots=True)
class _Batch:
    """Mutants of different scopes, so that mypy can check all of them in one run."""

    mutants: list[Mutant] = field(default_factory=list)
    scopes: set[tuple[Path, str]] = field(default_factory=set)

    def takes(self, scopes: set[tuple[Path, str]]) -> bool:
        """Tell whether none of these scopes lies in one of the batch, or the other way round."""
        return not any(
            path == other_path and (f"{other}." if other else "").startswith(f"{scope}." if scope else "")
            for one, two in ((self.scopes, scopes), (scopes, self.scopes))
            for path, scope in one
            for other_path, other in two
        )


def _type_errors(mutants: Sequence[Mutant], root: Path) -> list[str]:
    batches: list[_Batch] = []
    for mutant in mutants:
        scopes = {(edit.path(root), edit.scope) for edit in mutant.edits}
        batch = next((batch for batch in batches if batch.takes(scopes)), None)
        if batch is None:
            batches.append(batch := _Batch())
        batch.mutants.append(mutant)
        batch.scopes |= scopes
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checked = pool.map(lambda at: _check_types(batches[at], root, at), range(len(batches)))
        return [error for errors in checked for error in errors]


def _check_types(batch: _Batch, root: Path, number: int) -> list[str]:
    """Run mypy on the mutated modules. Each batch has a cache of its own: little changes from run to run."""
    texts: dict[Path, str] = {}
    for edit in (edit for mutant in batch.mutants for edit in mutant.edits):
        path = edit.path(root)
        if path.suffix == ".py":
            texts[path] = edit.applied(texts.get(path) or path.read_text())
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        shadows = []
        for at, (path, text) in enumerate(texts.items()):
            shadow = Path(scratch, f"{at}.py")
            shadow.write_text(text)
            shadows += ["--shadow-file", str(path.relative_to(root)), str(shadow)]
        command = [sys.executable, "-m", "mypy", "--cache-dir", f".mypy_cache/mutants/{number}", "--no-error-summary"]
        files = [str(path.relative_to(root)) for path in texts]
        run = subprocess.run([*command, *shadows, *files], cwd=root, capture_output=True, text=True, check=False)
    return [_named_in(batch, line, root) for line in (run.stdout + run.stderr).splitlines()]


def _named_in(batch: _Batch, line: str, root: Path) -> str:
    """Add the entries that edit the file of a mypy error."""
    file = root / line.partition(":")[0]
    names = [each.name for each in batch.mutants if any(edit.path(root) == file for edit in each.edits)]
    return f"{line}  (one of: {', '.join(names)})" if names else line
