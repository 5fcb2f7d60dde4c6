"""Checkouts under a few faults of every kind, as `make test-faults` runs them for longer."""

from pathlib import Path

from .__main__ import summary
from .plan import Plan
from .run import run

SHORT = Plan(seed=7, checkouts=24, at_once=12, reconcilers=1, quick=True, skew_seconds=2.0, pay_by_seconds=8.0)


async def test_p1_to_p5_hold_under_faults(tmp_path: Path) -> None:
    """Every payment is decided once with its sum, and nothing unpaid stays payable or stored, whatever strikes."""
    told: list[str] = []

    result = await run(tmp_path, SHORT, told.append)

    assert result.passed, "\n".join([*told, summary(result)])
    assert len(result.history.buyers) >= SHORT.checkouts
    assert all(result.struck.values())
