"""Hundreds of checkouts under faults, with one channel alone or with a wiped Redis."""

from pathlib import Path

import pytest

from .__main__ import summary
from .plan import Plan
from .run import run

WIPED = Plan(seed=1, checkouts=150, wipe=True, quick=True, pay_by_seconds=20.0, skew_seconds=3.0)
WEBHOOKS_ALONE = Plan(seed=2, checkouts=100, browsers=False, quick=True, pay_by_seconds=20.0, skew_seconds=3.0)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("plan", [WIPED, WEBHOOKS_ALONE], ids=["wiped", "webhooks-alone"])
async def test_p1_to_p5_hold_under_faults(tmp_path: Path, plan: Plan) -> None:
    """Each payment is decided once, and only those are quarantined whose attempt was lost."""
    told: list[str] = []

    result = await run(tmp_path, plan, told.append)

    assert result.passed, "\n".join([*told, summary(result)])
