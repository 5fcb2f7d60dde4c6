"""Faults at Stripe: calls that fail before or after their effect, and events that come late, twice or never."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from .faults import Fault
from .faulty_system import FaultySystem

_KINDS: Final = (
    *("rate_limit", "lock_timeout", "error_unsaved", "error_before", "error_after", "reset_before", "reset_after"),
    *("latency_before", "latency_after", "proxy_error_before", "proxy_error_after", "not_json_after", "cut_body_after"),
)
_PATHS: Final = ("*", "*", "/v1/payment_intents", "/v1/payment_intents/*", "/v1/customers", "/v1/subscriptions")
_SECONDS: Final = 4.0
"""Longest time that a fault waits for calls or events to hit."""
_HANDLED_WITHOUT_EVENTS: Final = ("payment_intent.*", "setup_intent.*")
"""Events that a browser's return makes superfluous."""


def stripe_faults(faulty: FaultySystem) -> list[Fault]:
    """Return the faults of calls and, if there are events, of events."""
    calls = [Fault(f"Stripe: {kind}", partial(_fail_calls, faulty, kind), "calls") for kind in _KINDS]
    if not faulty.plan.webhooks:
        return calls
    return [
        *calls,
        Fault("webhooks doubled", partial(_change_events, faulty, {"copies": 3}), "events"),
        Fault("webhooks delayed", partial(_change_events, faulty, {"delay_seconds": 2.0}), "events"),
        Fault("webhooks reordered", partial(_reorder_events, faulty), "events"),
        *([Fault("webhooks dropped", partial(_drop_events, faulty), "events")] if faulty.plan.judges_unpaid else []),
    ]


async def _fail_calls(faulty: FaultySystem, kind: str, rng: random.Random) -> int:
    """Fail a few calls of one kind, or of any."""
    seconds = {"seconds": rng.uniform(0.5, 3.0)} if "latency" in kind else {}
    path = rng.choice(_PATHS)
    fault_id = await faulty.control_api.add_fault(kind=kind, path=path, count=rng.randint(1, 6), **seconds)
    try:
        return await _until_hit(partial(faulty.control_api.fault_hits, fault_id))
    finally:
        await faulty.control_api.remove_fault(fault_id)


async def _change_events(faulty: FaultySystem, change: dict[str, float], _rng: random.Random) -> int:
    """Deliver the events of a while in another way."""
    await faulty.control_api.add_webhook_rule(**change)
    return await _until_changed(faulty)


async def _reorder_events(faulty: FaultySystem, rng: random.Random) -> int:
    """Hold a few events back while later ones pass."""
    await faulty.control_api.add_webhook_rule(hold=True, count=rng.randint(2, 12))
    hits = await _until_changed(faulty)
    await asyncio.sleep(rng.uniform(0.2, 1.5))
    await faulty.control_api.release_deliveries()
    return hits


async def _drop_events(faulty: FaultySystem, rng: random.Random) -> int:
    """Never deliver a few events. Without reconcilers only those that somebody else reports too."""
    types = ["*"] if faulty.plan.reconcilers else [*_HANDLED_WITHOUT_EVENTS]
    await faulty.control_api.add_webhook_rule(types=types, drop=True, count=rng.randint(2, 12))
    return await _until_changed(faulty)


async def _until_changed(faulty: FaultySystem) -> int:
    hits = await _until_hit(faulty.control_api.webhook_rules_applied)
    await faulty.control_api.clear_webhook_rules()
    return hits


async def _until_hit(count: Callable[[], Awaitable[int]]) -> int:
    """Let a fault last a while, until it has hit something; return how often it did."""
    deadline = time.monotonic() + _SECONDS
    await asyncio.sleep(_SECONDS / 4)
    while (hits := await count()) == 0 and time.monotonic() < deadline:  # noqa: ASYNC110 - another process counts
        await asyncio.sleep(0.1)
    return hits
