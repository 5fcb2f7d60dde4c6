"""Proves in seconds, without running a test, that every entry applies and that the mutated code type-checks."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.catalogue import EntryInvalid, Mutant

_Batch = dict[tuple[Path, str], Mutant]
"""Mutants by the scopes that they edit. They are applied together, so that one run of mypy checks all of them."""


def faults_of(mutants: Sequence[Mutant], tree: Path) -> Iterator[str]:
    """Yield each entry that does not apply or has no test, and each error that mypy finds in mutated code."""
    batches: list[_Batch] = []
    for mutant in mutants:
        try:
            mutant.require_test(tree)
            mutant.apply(tree, {})
        except (EntryInvalid, OSError, SyntaxError) as invalid:
            yield f"{mutant.name}: {invalid}"
        else:
            scopes = {(edit.path(tree), edit.scope): mutant for edit in mutant.edits}
            if not any(batch.keys().isdisjoint(scopes) for batch in batches):
                batches.append({})
            next(batch for batch in batches if batch.keys().isdisjoint(scopes)).update(scopes)
    with ThreadPoolExecutor(2) as pool:
        for errors in pool.map(lambda number: _type_errors(batches[number], tree, number), range(len(batches))):
            yield from errors


def _type_errors(batch: _Batch, tree: Path, number: int) -> list[str]:
    """Run mypy on the mutated modules, with a cache for each batch: from run to run little changes in it."""
    cache, seed = (tree / ".mypy_cache" / name for name in (f"mutants/{number}", "sources"))
    if seed.exists() and not cache.exists():
        shutil.copytree(seed, cache)
    texts: dict[Path, str] = {}
    for mutant in dict.fromkeys(batch.values()):
        mutant.apply(tree, texts)
    files = {str(path.relative_to(tree)): text for path, text in texts.items() if path.suffix == ".py"}
    mypy = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(cache)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        for at, (file, text) in enumerate(files.items()):
            shadow = Path(scratch, f"{at}.py")
            shadow.write_text(text)
            mypy += ["--shadow-file", file, str(shadow)]
        run = subprocess.run([*mypy, *files], cwd=tree, capture_output=True, text=True, check=False)
    return [f"{error} ({_editors(error, batch, tree)})" for error in (run.stdout + run.stderr).splitlines()]


def _editors(error: str, batch: _Batch, tree: Path) -> str:
    path = tree / error.partition(":")[0]
    return " or ".join(sorted({mutant.name for (edited, _), mutant in batch.items() if edited == path}))
