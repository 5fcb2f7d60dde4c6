"""An order's total is the amount that Stripe received, or the payment is quarantined (P5)."""

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.products import Price, Product, create_prices, until_on_sale_everywhere
from .harness.shop import Cart, Line, Shop
from .harness.system import System


@pytest.mark.parametrize("cents", [-1, 1])
async def test_p5_one_cent_off_is_quarantined_with_its_content(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter, cents: int
) -> None:
    """Stripe received a cent more or less than the attempt says: no order, one quarantined payment, content kept."""
    checkout = await shop.checkout(system.cart(mug=1, tote=2))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + cents})

    (await shop.pay(checkout)).ok()
    await settled(checkout)
    await control_api.until_idle()

    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    content = await system.rpc.quarantined_content(checkout.intent_id)
    assert (payment["outcome"], payment["quarantine_reason"]) == ("quarantined", "amount_mismatch")
    assert payment["amount_minor"] == checkout.amount + cents
    assert content is not None
    assert "Harbour Street" in content.shipping_address.line1
    assert await system.orders_db.orders_of(checkout.attempt_id) == []
    assert (await shop.status(checkout.attempt_id)).ok() == {"status": "needs_review", "purchase": None}


@pytest.mark.parametrize(
    ("currency", "amount"),
    [
        ("jpy", 4200),
        ("kwd", 5120),
        ("isk", 129_900),
        ("ugx", 6_000_000),
        ("huf", 123_456_750),
        ("idr", 999_999_999_999),
    ],
)
async def test_p5_sums_agree_in_currencies_with_other_decimals(
    system: System, shop: Shop, settled: Waiter, currency: str, amount: int
) -> None:
    """From none to three, counted in hundredths that must be 00, and up to Stripe's largest amount."""
    price = await _on_sale(system, currency, amount)
    checkout = await shop.checkout(Cart([Line(price.id)]))

    (await shop.pay(checkout)).ok()
    await settled(checkout)

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    assert (order["total_minor"], order["currency"]) == (amount, currency)
    assert intent.amount_received == amount


@pytest.mark.parametrize(("currency", "amount"), [("kwd", 5124), ("isk", 550), ("ugx", 99), ("usd", 100_000_000)])
async def test_p5_a_sum_that_stripe_does_not_charge_is_refused_first(
    system: System, shop: Shop, control_api: ControlApi, currency: str, amount: int
) -> None:
    """Before anything is created at Stripe."""
    price = await _on_sale(system, currency, amount)
    before = await control_api.request_count()

    refused = await shop.initiate(Cart([Line(price.id)]))

    assert (refused.status, refused.problem) == (409, "cart_not_for_sale")
    assert await control_api.requests("POST", "/v1/payment_intents", after=before) == []


async def _on_sale(system: System, currency: str, amount: int) -> Price:
    (price,) = await create_prices(system.stripe, [Product(f"Sample in {currency}", {currency: amount})])
    await until_on_sale_everywhere(system, [price])
    return price
