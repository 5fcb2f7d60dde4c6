"""An intent carries the attempt's id and nothing else (P1)."""

from typing import Final

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.products import Plans, Product, create_prices, plan_cart, until_on_sale_everywhere
from .harness.shop import Cart, Line, Shop
from .harness.system import System

LINES: Final = 200
WIDE: Final = "\N{SHOPPING BAGS}"
"""One character, and four bytes in UTF-8: no text is larger."""
ADDRESS: Final = dict.fromkeys(("line1", "line2", "city", "state", "postalCode"), WIDE * 200) | {"country": "US"}
ADDRESS_COLUMNS: Final = ("line1", "line2", "city", "state", "postal_code", "country")
"""In the order of ADDRESS."""


@pytest.mark.parametrize("call", [OutgoingCall.CREATE_INTENT, OutgoingCall.CREATE_SETUP])
async def test_p1_an_intent_carries_exactly_the_attempt_id(
    system: System, plans: Plans, members_shop: Shop, control_api: ControlApi, settled: Waiter, call: OutgoingCall
) -> None:
    """Stripe is sent, and holds after the payment, `metadata: {checkoutAttemptId}`."""
    mark = await control_api.request_count()
    method, _, path = call.partition(" ")
    cart = system.cart(mug=2, tote=1) if call is OutgoingCall.CREATE_INTENT else plan_cart(plans, tea=1)

    checkout = await members_shop.checkout(cart)
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)

    (sent,) = await control_api.requests(method, path, after=mark)
    intents = system.stripe.v1.setup_intents if checkout.sets_up else system.stripe.v1.payment_intents
    held = await intents.retrieve_async(checkout.intent_id)
    assert sent["params"]["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    assert held.to_dict()["metadata"] == {"checkoutAttemptId": checkout.attempt_id}


async def test_p1_the_largest_cart_arrives_whole(system: System, members_shop: Shop, settled: Waiter) -> None:
    """200 lines in almost 64 KiB, the longest address: one metadata key at Stripe, every character in the order."""
    products = [
        Product(f"{line:03}".ljust(50 if line else 250, WIDE), {"usd": 1 + line}, f"prod_{line:03}".ljust(20, "x"))
        for line in range(LINES)
    ]
    prices = await create_prices(system.stripe, products)
    await until_on_sale_everywhere(system, prices)
    contact = {"name": WIDE * 250, "email": f"{'a' * 64}@example.com", "phone": "+" + "1" * 39}
    cart = Cart([Line(price.id, 7) for price in prices], contact, ADDRESS)

    checkout = await members_shop.checkout(cart)
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)

    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    items = await system.orders_db.items_of(checkout.attempt_id)
    assert intent.to_dict()["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    assert intent.amount_received == order["total_minor"] == 7 * sum(price.unit_amount for price in prices)
    assert order["contact_name"] == contact["name"]
    assert [order[f"shipping_{column}"] for column in ADDRESS_COLUMNS] == list(ADDRESS.values())
    assert [(item["product_id"], item["name"], item["quantity"]) for item in items] == [
        (price.product_id, price.name, 7) for price in prices
    ]
    shown = (await members_shop.order(str(order["id"]))).ok()
    assert len(shown["items"]) == LINES
