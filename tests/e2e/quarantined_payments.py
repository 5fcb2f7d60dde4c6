"""Payments that were quarantined for every reason, as the faults that cause them leave them."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from .conftest import report_payment
from .harness.control_api import ControlApi
from .harness.shop import Checkout, Shop
from .harness.system import System

REASONS: Final = (
    "amount_mismatch",
    "intent_mismatch",
    "duplicate_payment",
    "attempt_missing",
    "unrecordable",
    "attempt_unreadable",
    "refunded",
)
WITHOUT_CART: Final = frozenset({"attempt_missing", "attempt_unreadable", "unrecordable"})
"""Reasons whose kept content makes no order."""

_SUCCEEDED: Final = "payment_intent.succeeded"
_OTHER_KEY: Final = "other:" + base64.b64encode(bytes(range(32))).decode()
_LATE_SECONDS: Final = 3700
"""Age of an event at which an unreadable attempt is not waited for any more."""


@dataclass(frozen=True)
class Quarantined:
    """A quarantined payment, and the checkout whose cart it was meant for."""

    reason: str
    intent_id: str
    checkout: Checkout
    received: int
    """Minor units."""


async def quarantine_all(
    system: System, shop: Shop, control_api: ControlApi, reasons: Sequence[str]
) -> list[Quarantined]:
    """Quarantine one payment for each of the reasons. Stripe's own webhooks of them are held."""
    await control_api.add_webhook_rule(types=[_SUCCEEDED], hold=True)
    readable = [await _quarantine(system, shop, control_api, each) for each in reasons if each != "attempt_unreadable"]
    checkouts = [await _paid(system, shop) for each in reasons if each == "attempt_unreadable"]
    async with _another_key(system):
        for checkout in checkouts:
            await _report(system, shop, checkout.intent_id)
    unreadable = [Quarantined("attempt_unreadable", each.intent_id, each, each.amount) for each in checkouts]
    return [*readable, *unreadable]


async def _quarantine(system: System, shop: Shop, control_api: ControlApi, reason: str) -> Quarantined:
    checkout = await shop.checkout(system.cart(mug=1))
    intent_id, received = checkout.intent_id, checkout.amount
    match reason:
        case "amount_mismatch":
            received -= 490
            await system.stripe.v1.payment_intents.update_async(intent_id, {"amount": received})
            (await shop.pay(checkout)).ok()
        case "intent_mismatch":
            intent_id = await _other_intent(system, control_api, checkout)
        case "duplicate_payment":
            (await shop.pay(checkout)).ok()
            await _report(system, shop, intent_id)
            intent_id = await _other_intent(system, control_api, checkout)
        case "attempt_missing":
            (await shop.pay(checkout)).ok()
            await system.attempt_store.lose(checkout.attempt_id)
        case "unrecordable":
            (await shop.pay(checkout)).ok()
            await system.rpc.quarantine_as_unrecordable(checkout.attempt_id, intent_id, received)
        case "refunded":
            return await _with_failed_refund(system, shop, control_api, checkout)
    await _report(system, shop, intent_id)
    return Quarantined(reason, intent_id, checkout, received)


async def _with_failed_refund(system: System, shop: Shop, control_api: ControlApi, checkout: Checkout) -> Quarantined:
    """Refund a payment before its decision, and let the refund fail afterwards."""
    (await shop.pay(checkout)).ok()
    refund = await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id})
    await _report(system, shop, checkout.intent_id)
    await control_api.finish_refund(refund.id, "failed")
    await control_api.until_idle()
    return Quarantined("refunded", checkout.intent_id, checkout, checkout.amount)


async def _other_intent(system: System, control_api: ControlApi, checkout: Checkout) -> str:
    """Pay another intent that names the checkout's attempt."""
    created = await system.stripe.v1.payment_intents.create_async(
        {"amount": checkout.amount, "currency": "usd", "metadata": {"checkoutAttemptId": checkout.attempt_id}}
    )
    await control_api.pay(created.id)
    return created.id


async def _paid(system: System, shop: Shop) -> Checkout:
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    return checkout


@asynccontextmanager
async def _another_key(system: System) -> AsyncIterator[None]:
    key = {"ENCRYPTION_KEYS": system.backend.settings_of("checkout-session")["ENCRYPTION_KEYS"]}
    await system.backend.restart("checkout-session", {"ENCRYPTION_KEYS": _OTHER_KEY})
    try:
        yield
    finally:
        await system.backend.restart("checkout-session", key)


async def _report(system: System, shop: Shop, intent_id: str) -> None:
    paid = (await system.stripe.v1.payment_intents.retrieve_async(intent_id)).to_dict()
    (await report_payment(system, shop, paid, age_seconds=_LATE_SECONDS)).ok()
