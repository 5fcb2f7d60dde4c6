"""The official Python client brings every resource of the simulator into every state.

Each function covers one topic, and leaves the checks to the test: all that the simulator answers or sends is observed.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from stripe_simulator.testing import SimulatedStripe

from .every_subscription import failed_renewals, plan_changes, refused, subscriptions

RETURN_URL: Final = "http://127.0.0.1/return"
ADDRESS: Final[Any] = {
    "city": "Kiel",
    "country": "DE",
    "line1": "Hafen 1",
    "line2": "Floor 2",
    "postal_code": "24103",
    "state": "SH",
}
SHIPPING: Final[Any] = {"address": ADDRESS, "name": "A Buyer", "phone": "+49 431 1"}
BILLING: Final[Any] = {"address": ADDRESS, "email": "buyer@example.com", "name": "A Buyer", "phone": "+49 431 1"}
MANDATE: Final[Any] = {"customer_acceptance": {"type": "offline"}}
SEPA_PAID: Final = "DE89370400440532013000"
SEPA_FAILED: Final = "DE62370400440532013001"


async def customers(sim: SimulatedStripe) -> None:
    """Create a bare and a complete one; change, list and delete it, and retrieve it after that."""
    api = sim.api.v1.customers
    await api.create_async({})
    full = await api.create_async(
        {
            "address": ADDRESS,
            "business_name": "Harbour Ltd",
            "description": "a description",
            "email": "buyer@example.com",
            "individual_name": "A Buyer",
            "metadata": {"a": "b"},
            "name": "A Buyer",
            "phone": "+49 431 1",
            "shipping": SHIPPING,
        }
    )
    await api.update_async(full.id, {"business_name": "", "individual_name": "", "shipping": "", "metadata": ""})
    await api.list_async({"limit": 1})
    await api.delete_async(full.id)
    await api.retrieve_async(full.id)


async def catalogue(sim: SimulatedStripe) -> None:
    """Create products, prices of each kind, and shipping rates."""
    product = await sim.api.v1.products.create_async(
        {
            "name": "Coffee",
            "description": "A bag",
            "images": ["https://example.com/a.png"],
            "marketing_features": [{"name": "fresh"}],
            "shippable": True,
            "unit_label": "bag",
            "url": "https://example.com",
        }
    )
    await sim.api.v1.products.retrieve_async(product.id)
    await sim.api.v1.products.list_async({})
    await sim.recurring_price(trial_period_days=7)
    one_time: Any = {"currency": "eur", "product": product.id, "unit_amount": 500, "lookup_key": "coffee"}
    price = await sim.api.v1.prices.create_async(one_time)
    tiers: Any = [{"up_to": 12, "unit_amount": 90, "flat_amount": 5}, {"up_to": "inf", "unit_amount": 45}]
    tiered: Any = {
        "billing_scheme": "tiered",
        "currency": "usd",
        "product": product.id,
        "recurring": {"interval": "month"},
        "tiers": tiers,
        "tiers_mode": "volume",
    }
    crates = await sim.api.v1.prices.create_async(tiered)
    await sim.api.v1.prices.retrieve_async(crates.id, {"expand": ["currency_options", "product", "tiers"]})
    await sim.api.v1.prices.update_async(price.id, {"nickname": "a name", "metadata": {"a": "b"}, "active": False})
    await sim.api.v1.prices.list_async({"expand": ["data.product"]})
    estimate: Any = {"minimum": {"unit": "day", "value": 1}, "maximum": {"unit": "business_day", "value": 3}}
    amount: Any = {"amount": 500, "currency": "usd"}
    for more in ({}, {"delivery_estimate": estimate, "metadata": {"a": "b"}}):
        params: Any = {"display_name": "Standard", "type": "fixed_amount", "fixed_amount": amount, **more}
        await sim.api.v1.shipping_rates.create_async(params)
    await sim.api.v1.shipping_rates.list_async({})


async def payment_methods(sim: SimulatedStripe) -> None:
    """Create one of each type; attach and detach one."""
    card: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    kinds: tuple[Any, ...] = (
        {"type": "card", "card": card, "billing_details": BILLING},
        {"type": "sepa_debit", "sepa_debit": {"iban": SEPA_PAID}, "billing_details": BILLING},
        {
            "type": "us_bank_account",
            "us_bank_account": {
                "account_holder_type": "individual",
                "account_number": "000123456789",
                "routing_number": "110000000",
            },
            "billing_details": BILLING,
        },
        {"type": "ideal", "ideal": {}},
        {"type": "amazon_pay", "amazon_pay": {}},
    )
    for params in kinds:
        await sim.api.v1.payment_methods.create_async(params)
    _, method = await sim.saved_card()
    await sim.api.v1.payment_methods.retrieve_async(method, {"expand": ["customer"]})
    await sim.api.v1.payment_methods.detach_async(method)


async def paid_intents(sim: SimulatedStripe) -> None:
    """Pay by card, bank debit and redirect; expand all that expands."""
    api = sim.api.v1.payment_intents
    customer, method = await sim.saved_card()
    params: Any = {
        "customer": customer,
        "description": "An order",
        "payment_method": method,
        "receipt_email": "buyer@example.com",
        "setup_future_usage": "off_session",
        "shipping": SHIPPING,
        "statement_descriptor_suffix": "ORDER",
    }
    saved = await sim.intent(**params)
    await api.confirm_async(saved.id, {"return_url": RETURN_URL})
    await api.retrieve_async(saved.id, {"expand": ["customer", "latest_charge.customer", "payment_method"]})
    for iban, paid in ((SEPA_PAID, True), (SEPA_FAILED, False)):
        debit: Any = {"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": BILLING}
        intent = await sim.intent(currency="eur")
        data: Any = {"payment_method_data": debit, "mandate_data": MANDATE, "return_url": RETURN_URL}
        await api.confirm_async(intent.id, data)
        await sim.control("POST", f"/payment_intents/{intent.id}/settle", {"succeed": paid})
        await api.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    account = await sim.intent()
    await sim.pay(account.id, payment_method="pm_usBankAccount", settle="paid")
    for currency, kind in (("eur", "ideal"), ("usd", "amazon_pay")):
        wallet: Any = {"type": kind, kind: {}}
        intent = await sim.intent(currency=currency)
        await api.confirm_async(intent.id, {"payment_method_data": wallet, "return_url": RETURN_URL})
        await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": True})
        paid_by_wallet: Any = await api.retrieve_async(intent.id, {"expand": ["latest_charge.payment_intent"]})
        await sim.api.v1.charges.retrieve_async(paid_by_wallet.latest_charge.id, {"expand": ["customer"]})
    await api.list_async({"expand": ["data.latest_charge"]})


async def unpaid_intents(sim: SimulatedStripe) -> None:
    """Have one challenged in both ways, declined, changed and canceled."""
    api = sim.api.v1.payment_intents
    for confirmation in ({"return_url": RETURN_URL}, {"return_url": RETURN_URL, "use_stripe_sdk": True}):
        intent = await sim.intent()
        params: Any = {"payment_method": "pm_card_threeDSecure2Required", **confirmation}
        await api.confirm_async(intent.id, params)
    await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": False})
    await api.retrieve_async(intent.id)
    await sim.pay(intent.id, payment_method="pm_card_chargeDeclinedInsufficientFunds")
    await api.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    await api.update_async(
        intent.id, {"amount": 700, "metadata": {"a": "b"}, "shipping": SHIPPING, "payment_method": "pm_card_visa"}
    )
    await api.cancel_async(intent.id, {"cancellation_reason": "abandoned"})


async def setup_intents(sim: SimulatedStripe) -> None:
    """Have one set up, challenged, refused and canceled."""
    api = sim.api.v1.setup_intents
    customer = await sim.api.v1.customers.create_async({})
    for method in ("pm_card_visa", "pm_card_authenticationRequired", "pm_card_chargeDeclined"):
        intent = await api.create_async({"customer": customer.id, "description": "saved", "metadata": {"a": "b"}})
        await sim.control("POST", f"/setup_intents/{intent.id}/pay", {"payment_method": method})
        await api.retrieve_async(intent.id, {"expand": ["customer", "payment_method"]})
    asks: Any = {"payment_method": "pm_card_authenticationRequired", "return_url": RETURN_URL}
    await api.confirm_async(intent.id, asks)
    await sim.control("POST", f"/setup_intents/{intent.id}/challenge", {"succeed": False})
    await api.retrieve_async(intent.id)
    named = await api.create_async({"payment_method": "pm_card_visa"})
    await api.cancel_async(named.id, {"cancellation_reason": "abandoned"})
    await api.list_async({})


async def refunds(sim: SimulatedStripe) -> None:
    """Bring one into every status, and expand it."""
    api = sim.api.v1.refunds
    for status in ("failed", "requires_action", "canceled"):
        intent = await sim.intent(currency="eur")
        method: Any = {"type": "sepa_debit", "sepa_debit": {"iban": SEPA_PAID}, "billing_details": BILLING}
        data: Any = {"payment_method_data": method, "mandate_data": MANDATE, "return_url": RETURN_URL}
        await sim.api.v1.payment_intents.confirm_async(intent.id, data)
        await sim.control("POST", f"/payment_intents/{intent.id}/settle", {"succeed": True})
        refund = await api.create_async({"payment_intent": intent.id, "amount": 100})
        asks = "failed" if status == "failed" else "requires_action"
        await sim.control("POST", f"/refunds/{refund.id}/finish", {"status": asks})
        if status == "canceled":
            await api.cancel_async(refund.id)
        await api.retrieve_async(refund.id, {"expand": ["charge", "payment_intent"]})
    card = await sim.intent()
    await sim.pay(card.id)
    refund = await api.create_async({"payment_intent": card.id, "reason": "requested_by_customer"})
    await api.update_async(refund.id, {"metadata": {"a": "b"}})
    await api.list_async({})


async def disputes(sim: SimulatedStripe) -> None:
    """Open an inquiry and disputes; win, lose and close them."""
    ways = (
        ("needs_response", ("under_review", "won")),
        ("needs_response", ()),
        ("warning_needs_response", ("warning_under_review", "warning_closed")),
    )
    for opened, moves in ways:
        intent = await sim.intent()
        await sim.pay(intent.id)
        dispute = await sim.control("POST", f"/payment_intents/{intent.id}/dispute", {"status": opened})
        for status in moves:
            await sim.control("POST", f"/disputes/{dispute['id']}/move", {"status": status})
        if not moves:
            await sim.api.v1.disputes.update_async(dispute["id"], {"metadata": {"a": "b"}})
            await sim.api.v1.disputes.close_async(dispute["id"])
        await sim.api.v1.disputes.retrieve_async(dispute["id"], {"expand": ["charge", "payment_intent"]})
    await sim.api.v1.disputes.list_async({})


async def customer_portal(sim: SimulatedStripe) -> None:
    """Refuse a session before the portal is set up, and create one after that."""
    api = sim.api.v1.billing_portal
    customer = await sim.api.v1.customers.create_async({})
    await refused(api.sessions.create_async({"customer": customer.id}))
    settings = await sim.control("POST", "/portal_settings")
    for more in ({}, {"return_url": RETURN_URL, "locale": "de", "expand": ["configuration"]}):
        params: Any = {"customer": customer.id, **more}
        await api.sessions.create_async(params)
    await api.configurations.retrieve_async(settings["id"])
    await api.configurations.list_async({})


async def webhook_endpoints(sim: SimulatedStripe) -> None:
    """Create one with and without a version; list and delete it."""
    api = sim.api.v1.webhook_endpoints
    params: Any = {"url": "http://127.0.0.1:9/a", "enabled_events": ["invoice.paid"]}
    await api.create_async(params)
    params |= {"api_version": "2026-10-28.endive", "description": "ours"}
    endpoint = await api.create_async(params)
    await api.retrieve_async(endpoint.id)
    await api.update_async(endpoint.id, {"enabled_events": ["*"], "description": "", "metadata": {"a": "b"}})
    await api.list_async({})
    await api.delete_async(endpoint.id)


async def events(sim: SimulatedStripe) -> None:
    """List and retrieve them."""
    page = await sim.api.v1.events.list_async({"limit": 100})
    await sim.api.v1.events.retrieve_async(page.data[0].id)


async def errors(sim: SimulatedStripe) -> None:
    """Provoke one of each type and code."""
    intent = await sim.intent()
    await sim.pay(intent.id)
    await refused(sim.api.v1.payment_intents.retrieve_async("pi_unknown"))
    await refused(sim.api.v1.payment_intents.cancel_async(intent.id))
    await refused(sim.intent(amount=1))
    await refused(sim.intent(unknown="a"))
    await refused(sim.intent(capture_method="manual"))
    await refused(sim.api.v1.customers.create_async({"email": "no address"}))
    await refused(sim.api.v1.refunds.create_async({"payment_intent": intent.id, "amount": 10_000}))
    for method in (
        "pm_card_chargeDeclined",
        "pm_card_chargeDeclinedExpiredCard",
        "pm_card_visa_chargeDeclinedLostCard",
    ):
        other = await sim.intent()
        params: Any = {"payment_method": method, "return_url": RETURN_URL}
        await refused(sim.api.v1.payment_intents.confirm_async(other.id, params))
    params = {"confirm": True, "off_session": True, "payment_method": "pm_card_authenticationRequired"}
    await refused(sim.intent(**params, return_url=RETURN_URL))
    for kind in (
        "rate_limit",
        "lock_timeout",
        "unauthorized",
        "forbidden",
        "key_in_use",
        "key_mismatch",
        "error_before",
    ):
        await sim.control("POST", "/faults", {"kind": kind, "path": "/v1/customers"})
        await sim.raw("POST", "/v1/customers")


TOPICS: Final[tuple[Callable[[SimulatedStripe], Awaitable[None]], ...]] = (
    customers,
    catalogue,
    payment_methods,
    paid_intents,
    unpaid_intents,
    setup_intents,
    refunds,
    disputes,
    subscriptions,
    plan_changes,
    failed_renewals,
    customer_portal,
    webhook_endpoints,
    events,
    errors,
)
