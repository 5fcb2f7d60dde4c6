"""Sends hostile input to every edge for as long as FUZZ_SECONDS says, and prints what came of it.

`python -m tests.fuzz --target NAME --seed NUMBER` tries the one batch of inputs again in which something was found.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .subject import running_subject
from .targets import Target, all_targets
from .trials import Tally, run_batch
from .watch import GROWTH_MIB, Watch

_DEFAULT_SECONDS: Final = 600.0
_WARM_AFTER: Final = 0.25
"""Share of the time after which processes count as warm: caches are full, every road was taken."""

_SEEDS: Final = 2**32


def main() -> int:
    """Run; exit with 1 if anything was found."""
    wanted = _arguments()
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder, running_subject(Path(folder)) as subject:
        watch = Watch(subject)
        campaign = Campaign(watch, all_targets(subject, watch.promised), first_seed=wanted.seed)
        if wanted.target:
            campaign.run_one(wanted.target)
        else:
            campaign.run_for(wanted.seconds)
        memory = watch.memory()
    _print_table(campaign.tallies)
    grown = _print_memory(memory)
    return 1 if grown or any(tally.findings for tally in campaign.tallies) else 0


class Campaign:
    """Shares the time among the targets, and looks at the system after every batch."""

    def __init__(self, watch: Watch, targets: Sequence[Target], *, first_seed: int) -> None:
        self._watch = watch
        self._targets = {target.name: target for target in targets}
        self._tallies = {target.name: Tally(target.name) for target in targets}
        self._seed = first_seed

    @property
    def tallies(self) -> list[Tally]:
        """What came of each target; one that the time did not suffice for has no inputs."""
        return list(self._tallies.values())

    def run_for(self, seconds: float) -> None:
        """Try batches until the time is over; a target with a finding is left alone afterwards."""
        began, warm = time.monotonic(), False
        while (spent := time.monotonic() - began) < seconds:
            if not warm and spent > seconds * _WARM_AFTER:
                self._watch.warmed_up()
                warm = True
            sound = [tally for tally in self._tallies.values() if not tally.findings]
            if not sound:
                return
            self.run_one(min(sound, key=lambda tally: tally.seconds).target)

    def run_one(self, name: str) -> None:
        """Try one batch."""
        tally = self._tallies[name]
        known = len(tally.findings)
        run_batch(self._targets[name], tally, number=self._seed)
        again = f"again: python -m tests.fuzz --target '{name}' --seed {self._seed}"
        tally.findings += [f"{objection}\n{again}" for objection in self._watch.objections()]
        for finding in tally.findings[known:]:
            _say(f"FINDING in {name}\n{finding}\n")
        self._seed += 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    seconds = float(os.environ.get("FUZZ_SECONDS") or _DEFAULT_SECONDS)
    parser.add_argument("--seconds", type=float, default=seconds, help="for how long, all targets together")
    parser.add_argument("--target", help="try one batch on this target only")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(_SEEDS), help="of the first batch")
    return parser.parse_args()


def _print_table(tallies: Sequence[Tally]) -> None:
    width = max([len(tally.target) for tally in tallies], default=0)
    _say(f"{'target':{width}}  {'inputs':>8}  {'findings':>8}  {'seconds':>8}")
    for tally in tallies:
        _say(f"{tally.target:{width}}  {tally.inputs:8}  {len(tally.findings):8}  {tally.seconds:8.1f}")
    total = (sum(tally.inputs for tally in tallies), sum(len(tally.findings) for tally in tallies))
    _say(f"{'all':{width}}  {total[0]:8}  {total[1]:8}  {sum(tally.seconds for tally in tallies):8.1f}")


def _print_memory(memory: Mapping[str, tuple[float, float]]) -> bool:
    """Print how much each process has grown since it was warm; return whether one has grown too much."""
    for name, (warm, now) in memory.items():
        _say(f"{name} held {warm:.1f} MiB when warm and {now:.1f} at the end; {GROWTH_MIB:g} more are allowed")
    return any(now - warm > GROWTH_MIB for warm, now in memory.values())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
