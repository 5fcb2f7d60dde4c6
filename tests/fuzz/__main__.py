"""Send hostile input to every route and rpc for FUZZ_SECONDS, and print the findings.

`python -m tests.fuzz --target NAME --seed NUMBER` repeats one batch of inputs.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from .checks import MAX_GROWTH_MIB, Checks
from .fuzzed_system import run_system
from .runs import TargetResult, repeat_command, run_batch
from .targets import Target, all_targets

_DEFAULT_SECONDS: Final = 600.0
_WARM_AFTER: Final = 0.25
"""Share of the time after which growth is measured: by then caches are full and every code path was used."""


def main() -> int:
    """Fuzz the system; return 1 for a finding."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder, run_system(Path(folder)) as system:
        checks = Checks(system)
        campaign = Campaign(checks, all_targets(system), first_seed=arguments.seed)
        if arguments.target:
            campaign.run_one(arguments.target)
        else:
            campaign.run_for(arguments.seconds * _WARM_AFTER)
            checks.mark_warm()
            campaign.run_for(arguments.seconds * (1 - _WARM_AFTER))
        memory = checks.memory()
    _print_table(campaign.results.values())
    for name, (warm, now) in memory.items():
        _print(f"{name}: {warm:.1f} MiB when warm, {now:.1f} MiB at the end, limit {warm + MAX_GROWTH_MIB:.1f} MiB")
    grown = any(now - warm > MAX_GROWTH_MIB for warm, now in memory.values())
    return 1 if grown or any(result.findings for result in campaign.results.values()) else 0


class Campaign:
    """Shares the time among the targets, and checks the system after every batch."""

    def __init__(self, checks: Checks, targets: Sequence[Target], *, first_seed: int) -> None:
        self._checks = checks
        self._targets = {target.name: target for target in targets}
        self._next_seed = first_seed
        self.results = {target.name: TargetResult(target.name) for target in targets}

    def run_for(self, seconds: float) -> None:
        """Run batches until the time is over. A target with a finding gets no further batch."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            remaining = [result for result in self.results.values() if not result.findings]
            if not remaining:
                return
            self.run_one(min(remaining, key=lambda result: result.seconds).target)

    def run_one(self, name: str) -> None:
        """Run one batch."""
        result, seed = self.results[name], self._next_seed
        self._next_seed += 1
        known = len(result.findings)
        run_batch(self._targets[name], result, seed_number=seed)
        result.findings += [f"{finding}\n{repeat_command(name, seed)}" for finding in self._checks.findings()]
        for finding in result.findings[known:]:
            _print(f"FINDING in {name}\n{finding}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    seconds = float(os.environ.get("FUZZ_SECONDS") or _DEFAULT_SECONDS)
    parser.add_argument("--seconds", type=float, default=seconds, help="duration for all targets together")
    parser.add_argument("--target", help="run one batch on this target only")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="seed of the first batch")
    return parser.parse_args()


def _print_table(results: Iterable[TargetResult]) -> None:
    _print(f"{'target':32}{'inputs':>8}{'findings':>10}{'seconds':>10}")
    for result in results:
        _print(f"{result.target:32}{result.inputs:8}{len(result.findings):10}{result.seconds:10.1f}")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
