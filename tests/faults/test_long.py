"""A hundred checkouts under faults, with one channel alone. `make test-faults` runs hundreds with all of them."""

import math
from pathlib import Path

import pytest

from .__main__ import summary
from .plan import Plan
from .run import run

WEBHOOKS_ALONE = Plan(
    seed=2, checkouts=100, reconcilers=0, browsers=False, quick=True, pay_by_seconds=20.0, skew_seconds=3.0
)
RECONCILERS_ALONE = Plan(
    seed=3, checkouts=100, webhooks=False, browsers=False, quick=True, pay_by_seconds=20.0, skew_seconds=3.0
)
LATEST_SECONDS = 60.0
"""Time from a payment to its decision by a reconciler that is not disturbed for long."""


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_p1_to_p5_hold_with_webhooks_alone(tmp_path: Path) -> None:
    """Each payment is decided once; no browser comes back, and no reconciler looks."""
    told: list[str] = []

    result = await run(tmp_path, WEBHOOKS_ALONE, told.append)

    assert result.passed, "\n".join([*told, summary(result)])


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_p3_reconcilers_alone_decide_each_payment_within_a_minute(tmp_path: Path) -> None:
    """No webhook arrives, and no browser returns."""
    told: list[str] = []

    result = await run(tmp_path, RECONCILERS_ALONE, told.append)

    paid_at = {intent.id: intent.paid_at or math.inf for intent in result.state.intents.values()}
    assert result.passed, "\n".join([*told, summary(result)])
    assert max(each.decided_at - paid_at[each.intent_id] for each in result.state.decisions) < LATEST_SECONDS
