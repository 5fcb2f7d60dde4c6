"""Runs the catalogue of mutants: `make test-mutants`; proves in seconds that it applies: `make mutants-apply`."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.mutants.applying import faults_of
from tests.mutants.catalogue import FOLDER, EntryInvalid, Mutant, read_catalogue, read_entry
from tests.mutants.running import why_not_caught

ROOT: Final = Path(__file__).parent.parent.parent
AT_ONCE: Final = 2


def main() -> int:
    """Check that entries apply, or run them; exit with 1 if any is at fault or survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apply-only", action="store_true", help="only check that every entry applies and type-checks")
    parser.add_argument(
        "--changed", action="store_true", help="only entries whose code, test or text differs from main"
    )
    parser.add_argument("names", nargs="*", help="names of entries; all if none is given")
    wanted = parser.parse_args()
    try:
        mutants = read_catalogue(ROOT / FOLDER)
    except EntryInvalid as invalid:
        sys.stdout.write(f"{invalid}\n")
        return 1
    if wanted.apply_only:
        return _check(mutants)
    unknown = set(wanted.names) - {mutant.name for mutant in mutants}
    if unknown:
        parser.error(f"no entries are named {sorted(unknown)}")
    chosen = [mutant for mutant in mutants if mutant.name in wanted.names or not wanted.names]
    return _run([mutant for mutant in chosen if not wanted.changed or mutant.name in _changed(chosen)])


def _check(mutants: Sequence[Mutant]) -> int:
    faults = faults_of(mutants, ROOT)
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


def _run(mutants: Sequence[Mutant]) -> int:
    survivors = []
    for mutant, why, seconds in _examined(mutants):
        sys.stdout.write(f"{'SURVIVED' if why else 'caught  '}  {mutant.name} ({mutant.guard}) {seconds:.1f} s\n")
        if why:
            survivors.append(mutant.name)
            sys.stdout.write(f"    {why}\n    test: {mutant.test}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(mutants) - len(survivors)} caught, {len(survivors)} survived {' '.join(survivors)}\n")
    return 1 if survivors else 0


def _examined(mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str | None, float]]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        tree = _copied_tree(Path(scratch))

        def timed(mutant: Mutant) -> tuple[Mutant, str | None, float]:
            began = time.monotonic()
            return mutant, why_not_caught(mutant, tree, Path(scratch)), time.monotonic() - began

        yield from pool.map(timed, mutants)


def _copied_tree(into: Path) -> Path:
    """Copy all that git tracks or would track, as it is in the work tree, and compile it once for all mutants."""
    tree = into / "tree"
    for name in _git("ls-files", "-coz", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "libs", "services", "tools"], cwd=tree, check=True)
    return tree


def _changed(mutants: Sequence[Mutant]) -> set[str]:
    """Name the entries whose edited files, test file or own text differ from where this branch left main."""
    main = "origin/main" if _git("branch", "--remotes", "--list", "origin/main") else "main"
    base = _git("merge-base", "HEAD", main).strip()
    listed = _git("diff", "--name-only", base) + _git("ls-files", "-o", "--exclude-standard")
    changed = {ROOT / name for name in listed.splitlines()}
    before: dict[str, Mutant] = {}
    for file in _git("ls-tree", "-r", "--name-only", base, f"{FOLDER}/").splitlines():
        before |= {
            name: read_entry(name, entry) for name, entry in tomllib.loads(_git("show", f"{base}:{file}")).items()
        }
    return {
        mutant.name
        for mutant in mutants
        if mutant != before.get(mutant.name)
        or not changed.isdisjoint({ROOT / mutant.test.partition("::")[0], *(edit.path(ROOT) for edit in mutant.edits)})
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    raise SystemExit(main())
