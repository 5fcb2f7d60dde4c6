"""Stripe's rate limits: more checkouts than they allow, and 429s of one operation."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable
from typing import Any, Final

from .conftest import until
from .harness.control_api import ControlApi
from .harness.shop import Reply, Shop
from .harness.system import System
from .timeouts import REQUEST_DEADLINE_SECONDS

HTTP_OK: Final = 200
CREATE: Final = "POST /v1/payment_intents"


async def test_429s_of_one_operation_leave_the_others_alone(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """While Stripe creates no intent, checkouts get a 503 that says when to come back, and returns from paying succeed.

    Afterwards the same requests begin one checkout each.
    """
    of_other_tests = set(await system.attempt_store.content_keys())
    paid = [await shop.checkout(system.cart(mug=1)) for _ in range(3)]
    keys = [str(uuid.uuid4()) for _ in range(3)]
    before = await system.orders_db.counts()
    await control_api.add_webhook_rule(count=None, drop=True)
    fault_id = await control_api.add_fault(kind="rate_limit", method="POST", path="/v1/payment_intents", count=None)

    refused = await asyncio.gather(*(shop.initiate(system.cart(mug=1), idempotency_key=key) for key in keys))
    refused_at_once, seconds = await _timed(shop.initiate(system.cart(mug=1)))
    for each in paid:
        (await shop.pay(each)).ok()
    completed = [await shop.complete(each) for each in paid]
    stored = await system.attempt_store.content_keys()
    await control_api.remove_fault(fault_id)

    for reply in (*refused, refused_at_once):
        assert (reply.status, reply.problem) == (503, "temporarily_unavailable")
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
    assert seconds < REQUEST_DEADLINE_SECONDS
    assert [reply.ok()["status"] for reply in completed] == ["completed"] * 3
    assert (await system.orders_db.counts()).orders == before.orders + 3
    assert set(stored) <= of_other_tests  # nothing is kept for the refused
    lines = [line for line in _logged(system) if line.get("limit")]
    assert {(line["operation"], line["outcome"], line["limit"]) for line in lines} == {
        (CREATE, "rate_limited", "endpoint-rate")
    }
    begun = [await _initiated(shop, system, key) for key in keys]
    assert len({each.ok()["checkoutAttemptId"] for each in begun}) == 3


async def _initiated(shop: Shop, system: System, key: str) -> Reply:
    """Repeat a request until it is no longer refused."""
    replies: list[Reply] = []

    async def is_begun() -> bool:
        replies.append(await shop.initiate(system.cart(mug=1), idempotency_key=key))
        return replies[-1].status == HTTP_OK

    await until(is_begun, "a checkout after the 429s", seconds=60)
    return replies[-1]


async def _timed(request: Awaitable[Reply]) -> tuple[Reply, float]:
    began = time.monotonic()
    return await request, time.monotonic() - began


def _logged(system: System) -> list[dict[str, Any]]:
    return [json.loads(line) for line in system.backend.log_of("gateway").splitlines() if line.startswith("{")]
