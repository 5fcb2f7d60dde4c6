"""Faults that strike where a guard holds. The mutation catalogue removes these guards, and each run then fails."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from .plan import Fate, Plan
from .run import run

_PLAN: Final = Plan(seed=1, checkouts=40, at_once=12, reconcilers=1, skew_seconds=2.0, pay_by_seconds=8.0)
GUARDS: Final = {
    "decision-row": replace(_PLAN, only=("webhooks doubled", "webhooks delayed")),
    "commit-before-delete": replace(_PLAN, only=("kill orders", "freeze orders")),
    "save-before-secret": replace(_PLAN, only=("kill checkout-session", "freeze checkout-session", "freeze valkey")),
    "proof-of-id": replace(_PLAN, checkouts=8, only=("kill reconciler",)),
    "amount-check": replace(_PLAN, fates=(Fate.AMOUNT_CHANGED, Fate.PAID), only=("webhooks doubled",)),
    "end-before-release": replace(_PLAN, fates=(Fate.TWO_TABS,), only=("webhooks delayed",)),
    "activation-lookup": replace(_PLAN, checkouts=150, at_once=40, only=("Stripe: error_after",)),
    "cursor-overlap": replace(
        _PLAN, checkouts=70, webhooks=False, fates=(Fate.REFUNDED_IN_PART,), only=("kill gateway",)
    ),
}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("plan", GUARDS.values(), ids=GUARDS)
async def test_p1_to_p5_hold_where_a_guard_is_needed(tmp_path: Path, plan: Plan) -> None:
    """No promise is broken, and each fault has struck."""
    result = await run(tmp_path, plan, lambda _line: None)

    broken = {finding.promise for finding in result.findings}
    assert broken == set()
    assert result.missing == []
