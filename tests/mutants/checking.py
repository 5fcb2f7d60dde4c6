"""Proves in seconds, without running a test, that every entry applies and that the mutated code type-checks."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.catalogue import EntryInvalid, Mutant


def faults_of(mutants: Sequence[Mutant], tree: Path) -> Iterator[str]:
    """Yield each entry that does not apply or has no test, and each error that mypy finds in mutated code."""
    batches: list[list[Mutant]] = []
    for mutant in mutants:
        try:
            mutant.require_test(tree)
            mutant.apply(tree, {})
        except (EntryInvalid, OSError, SyntaxError) as invalid:
            yield f"{mutant.name}: {invalid}"
        else:
            # Mutants of different scopes are applied together, so that one run of mypy checks all of them.
            batch = next((each for each in batches if not _overlaps(mutant, each)), None)
            if batch is None:
                batches.append(batch := [])
            batch.append(mutant)
    with ThreadPoolExecutor(2) as pool:
        for errors in pool.map(lambda number: _type_errors(batches[number], tree, number), range(len(batches))):
            yield from errors


def _overlaps(mutant: Mutant, batch: Sequence[Mutant]) -> bool:
    taken = {(edit.module, edit.file, edit.scope) for other in batch for edit in other.edits}
    return any((edit.module, edit.file, edit.scope) in taken for edit in mutant.edits)


def _type_errors(batch: Sequence[Mutant], tree: Path, number: int) -> list[str]:
    """Run mypy on the mutated modules, with a cache for each batch: from run to run little changes in it."""
    cache, seed = (tree / ".mypy_cache" / name for name in (f"mutants/{number}", "sources"))
    if seed.exists() and not cache.exists():
        shutil.copytree(seed, cache)
    texts: dict[Path, str] = {}
    for mutant in batch:
        mutant.apply(tree, texts)
    files = {str(path.relative_to(tree)): text for path, text in texts.items() if path.suffix == ".py"}
    mypy = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(cache)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        for at, (file, text) in enumerate(files.items()):
            shadow = Path(scratch, f"{at}.py")
            shadow.write_text(text)
            mypy += ["--shadow-file", file, str(shadow)]
        run = subprocess.run([*mypy, *files], cwd=tree, capture_output=True, text=True, check=False)
    return [f"{line} ({_editors(line, batch, tree)})" for line in (run.stdout + run.stderr).splitlines()]


def _editors(error: str, batch: Sequence[Mutant], tree: Path) -> str:
    """Name the entries that edit the file of a mypy error."""
    path = tree / error.partition(":")[0]
    return " or ".join(mutant.name for mutant in batch if path in (edit.path(tree) for edit in mutant.edits))
