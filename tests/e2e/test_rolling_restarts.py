"""Releases in the midst of business: nobody notices that every process is replaced, again and again."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from tests.versions.released import check_out

from .harness.open_loop import CHECKOUTS_A_SECOND, Load, buy_steadily, summary
from .harness.replicas import ALL, Replicas, running_replicas

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

ROLLOUTS: Final = int(os.environ.get("ROLLOUTS", "4"))
"""Rolling restarts of every service, at least 4. Each replaces both of its processes, one after the other. Three are of
releases."""
_LAME_DUCK: Final = {"LAME_DUCK_SECONDS": "1"}
_GATEWAY: Final = {**_LAME_DUCK, "CATALOGUE_REFRESH_SECONDS": "3600"}
SETTINGS: Final = {"gateway": _GATEWAY, "checkout-session": _LAME_DUCK, "orders": _LAME_DUCK}


_UPGRADE: Final = ("gateway", "reconciler", "checkout-session", "orders")
"""Gateways first, and last in a rollback: those of 0.1.0 do not follow the health of the services that they call."""
TODAY: Final = ""


@pytest.fixture
def released(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Unpack the sources of the newest release."""
    return check_out(tmp_path_factory.mktemp("release")).environment["PYTHONPATH"]


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(tmp_path_factory: pytest.TempPathFactory, released: str) -> AsyncIterator[Replicas]:
    """Run two processes of each service of the newest release behind a balancer."""
    async with running_replicas(tmp_path_factory.mktemp("holdfast"), SETTINGS, released) as running:
        yield running


async def test_buyers_and_stripe_notice_no_rolling_restart(replicas: Replicas, released: str) -> None:
    """Every request of a buyer succeeds, every webhook is answered 200, and every payment becomes a purchase.

    The newest release is upgraded to this code, with its migrations; that is rolled back; and upgraded again.
    """
    load = await _buy_during_rollouts(replicas, released)
    answers = await _webhook_answers(replicas)
    lost = await _lost(replicas, load)

    print(ROLLOUTS, summary(load.requests), "webhooks", dict(answers), "lost", len(lost))  # noqa: T201 — figures
    assert not load.failed
    assert set(answers) == {200}
    assert not lost


async def _buy_during_rollouts(replicas: Replicas, released: str) -> Load:
    done = asyncio.Event()

    async def roll() -> None:
        try:
            await replicas.release(TODAY, _UPGRADE)
            await replicas.release(released, _UPGRADE[::-1])
            await replicas.release(TODAY, _UPGRADE)
            for _ in range(ROLLOUTS - 3):
                await asyncio.gather(*map(replicas.roll, ALL))
        finally:
            done.set()

    async with replicas.shop() as shop:
        load, _ = await asyncio.gather(
            buy_steadily(shop, lambda: replicas.system.cart(mug=1), CHECKOUTS_A_SECOND, done), roll()
        )
    return load


async def _webhook_answers(replicas: Replicas) -> Counter[int | None]:
    """Return the statuses of all attempts to deliver an event."""
    await replicas.control_api.until_idle()
    return Counter(each["status"] for each in await replicas.control_api.delivery_attempts())


async def _lost(replicas: Replicas, load: Load) -> set[str]:
    """Return the payments that became no purchase."""
    bought = await replicas.system.orders_db.rows("SELECT intent_id FROM payments WHERE outcome = 'purchase'")
    return load.paid - {row["intent_id"] for row in bought}
