"""The official Python client brings subscriptions, and all that bills them, into every state."""

from collections.abc import Awaitable
from typing import Any, Final

import stripe

from stripe_simulator.testing import SimulatedStripe

DAY: Final = 24 * 3600
EVERYTHING: Final[Any] = {
    "expand": [
        "customer",
        "default_payment_method",
        "discounts.customer",
        "latest_invoice.confirmation_secret",
        "latest_invoice.discounts",
    ]
}


async def subscriptions(sim: SimulatedStripe) -> None:
    """Bring one into every status, with its invoices."""
    api = sim.api.v1.subscriptions
    active = await sim.subscription(metadata={"a": "b"}, description="A plan")
    await api.update_async(active.id, {"metadata": {"a": "", "b": "c"}, "cancel_at_period_end": True})
    await api.update_async(active.id, {"cancel_at_period_end": False})
    trial = await sim.subscription(trial_period_days=7)
    declined = await sim.subscription("pm_card_chargeCustomerFail")
    challenged = await sim.subscription("pm_card_authenticationRequired")
    waiting = await sim.subscription(payment_behavior="default_incomplete")
    await sim.pay(intent_of(waiting))
    for like in ("pm_card_authenticationRequired", "pm_card_chargeCustomerFail"):
        await refused(sim.subscription(like, payment_behavior="error_if_incomplete"))
    paused = await sim.subscription()
    await sim.control("POST", f"/subscriptions/{paused.id}/pause")
    canceled = await sim.subscription()
    for each in (canceled, await sim.subscription("pm_card_chargeCustomerFail")):
        await api.cancel_async(each.id)
    failing = await sim.subscription()
    method = str(failing.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": "pm_card_chargeCustomerFail"})
    for _ in range(2):
        await sim.control("POST", "/clock/advance", {"seconds": 32 * DAY})
        for each in (active, trial, declined, challenged, waiting, paused, canceled, failing):
            await api.retrieve_async(each.id, EVERYTHING)
    await api.list_async({"status": "all", "expand": ["data.latest_invoice"]})
    page = await sim.api.v1.invoices.list_async({"expand": ["data.customer"]})
    await sim.api.v1.invoices.retrieve_async(page.data[0].id, {"expand": ["confirmation_secret", "payments"]})
    payments = await sim.api.v1.invoice_payments.list_async({"expand": ["data.invoice"]})
    await sim.api.v1.invoice_payments.retrieve_async(payments.data[0].id)


async def plan_changes(sim: SimulatedStripe) -> None:
    """Change the plan, the quantity, the discount and the trial; pause, and end at a date."""
    api = sim.api.v1.subscriptions
    coupons = sim.api.v1.coupons
    once = await coupons.create_async({"percent_off": 10, "duration": "once", "name": "Ten", "metadata": {"a": "b"}})
    off: Any = {"amount_off": 100, "currency": "usd", "duration": "repeating", "duration_in_months": 3}
    repeating = await coupons.create_async(off)
    await coupons.retrieve_async(once.id, {"expand": ["currency_options"]})
    await coupons.list_async({})
    changed = await sim.subscription(discounts=[{"coupon": once.id}], **EVERYTHING)
    items = await sim.api.v1.subscription_items.list_async({"subscription": changed.id})
    item = await sim.api.v1.subscription_items.retrieve_async(items.data[0].id)
    other = await sim.recurring_price(5000)
    updates: tuple[Any, ...] = (
        {"items": [{"id": item.id, "price": other, "quantity": 3}]},
        {"items": [{"id": item.id, "quantity": 4}], "proration_behavior": "always_invoice"},
        {"discounts": [{"coupon": repeating.id}]},
        {"discounts": ""},
        {"pause_collection": {"behavior": "void", "resumes_at": _in_days(sim, 20)}},
        {"cancel_at": _in_days(sim, 50), "cancellation_details": {"comment": "bye", "feedback": "unused"}},
        {"payment_settings": {"save_default_payment_method": "on_subscription"}},
    )
    for params in updates:
        await api.update_async(changed.id, params | EVERYTHING)
    for behavior in ("keep_as_draft", "mark_uncollectible", "void"):
        paused = await sim.subscription()
        pause: Any = {"pause_collection": {"behavior": behavior}}
        await api.update_async(paused.id, pause)
    for _ in range(2):
        await sim.control("POST", "/clock/advance", {"seconds": 32 * DAY})
        await api.retrieve_async(changed.id, EVERYTHING)
    page = await sim.api.v1.invoice_items.list_async({"expand": ["data.customer", "data.invoice"]})
    await sim.api.v1.invoice_items.retrieve_async(page.data[0].id)
    await api.update_async(paused.id, {"pause_collection": ""})
    customer = str((await sim.subscription()).customer)
    await sim.api.v1.customers.delete_async(customer)


async def failed_renewals(sim: SimulatedStripe) -> None:
    """Pay, void and give up the open invoice of a renewal, as the Dashboard does."""
    api = sim.api.v1.invoices
    for give_up in (api.pay_async, api.void_invoice_async, api.mark_uncollectible_async):
        failing = await sim.subscription()
        method = str(failing.default_payment_method)
        await sim.control("POST", f"/payment_methods/{method}/behave", {"like": "pm_card_chargeCustomerFail"})
        await sim.control("POST", "/clock/advance", {"seconds": 32 * DAY})
        [invoice] = (await api.list_async({"subscription": failing.id, "status": "open"})).data
        await sim.control("POST", f"/payment_methods/{method}/behave", {"like": "pm_card_visa"})
        await api.update_async(str(invoice.id), {"metadata": {"a": "b"}, "auto_advance": False})
        await give_up(str(invoice.id))


async def refused(call: Awaitable[Any]) -> None:
    """Wait for a call that the simulator has to refuse."""
    try:
        await call
    except stripe.StripeError:
        return
    raise AssertionError("the simulator did not refuse it")


def intent_of(subscription: stripe.Subscription) -> str:
    """Return the id of the payment intent of the first charge."""
    invoice: Any = subscription.latest_invoice
    return str(invoice.confirmation_secret.client_secret).split("_secret_")[0]


def _in_days(sim: SimulatedStripe, days: int) -> int:
    return sim.simulator.state.account.clock.timestamp() + days * DAY
