"""Buy under faults and check every promise: `make test-faults SEED=1 CHECKOUTS=500 FAULTS_ARGS="--wipe"`."""

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Final

from .plan import Plan
from .run import Result, run

_SHOWN: Final = 40
"""Findings and wrong answers that are printed."""


def main() -> int:
    """Carry one run out; return 1 if it failed."""
    arguments = _arguments()
    plan = Plan(
        seed=arguments.seed,
        checkouts=arguments.checkouts,
        at_once=arguments.at_once,
        reconcilers=arguments.reconcilers,
        webhooks=arguments.webhooks,
        browsers=arguments.browsers,
        wipe=arguments.wipe,
        quick=arguments.quick,
        skew_seconds=arguments.skew,
        pay_by_seconds=arguments.pay_by,
        only=tuple(arguments.only),
    )
    _print(plan.repeat_command)
    if arguments.keep:
        result = asyncio.run(run(arguments.keep, plan, _print))
    else:
        with tempfile.TemporaryDirectory(prefix="holdfast-faults-") as folder:
            Path(folder).chmod(0o711)
            result = asyncio.run(run(Path(folder), plan, _print))
    _print(summary(result))
    return 0 if result.passed else 1


def summary(result: Result) -> str:
    """Return the report of a run."""
    decisions = result.state.decisions
    quarantined = [each for each in decisions if each.outcome == "quarantined"]
    buyers = len(result.history.buyers)
    lines = [
        f"{buyers} buyers, {len(result.history.granted)} grants, {len(result.state.intents)} intents",
        f"{len(decisions) - len(quarantined)} purchases, {len(quarantined)} quarantined, {result.seconds:.0f} s",
        "",
        f"{'fault':42}{'struck':>8}",
        *(f"{name:42}{hits:8}" for name, hits in sorted(result.struck.items())),
        "",
        *(f"{answer:42}{count:8}" for answer, count in sorted(result.history.answers.items())),
        *(f"NEVER STRUCK: {name}" for name in result.missing),
        *(f"WRONG ANSWER: {answer}" for answer in result.history.wrong_answers[:_SHOWN]),
        *(f"FINDING: {finding}" for finding in result.findings[:_SHOWN]),
        f"{len(result.findings)} findings, {len(result.history.wrong_answers)} wrong answers",
    ]
    if not result.passed:
        lines.append(f"repeat with: {result.plan.repeat_command}")
        lines.append("The schedule repeats; which request a fault meets may not.")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    defaults = Plan(seed=0)
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="chooses buyers and faults")
    parser.add_argument("--checkouts", type=int, default=defaults.checkouts, help="buyers, at least")
    parser.add_argument("--at-once", type=int, default=defaults.at_once, help="buyers at any time")
    parser.add_argument("--reconcilers", type=int, default=defaults.reconcilers)
    parser.add_argument("--no-webhooks", dest="webhooks", action="store_false", help="Stripe delivers no event")
    parser.add_argument("--no-browsers", dest="browsers", action="store_false", help="no browser comes back")
    parser.add_argument("--wipe", action="store_true", help="Redis loses everything in the middle")
    parser.add_argument("--quick", action="store_true", help="two faults of each lane")
    parser.add_argument("--skew", type=float, default=defaults.skew_seconds, help="seconds, of the second gateway")
    parser.add_argument("--pay-by", type=float, default=defaults.pay_by_seconds, help="seconds")
    parser.add_argument("--only", action="append", default=[], help="name of a fault; may be repeated")
    parser.add_argument("--keep", type=Path, help="new folder for data and logs, which are left there")
    return parser.parse_args()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
