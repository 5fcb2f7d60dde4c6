"""The largest cart there can be: as many lines, as long names and addresses, and as much money as Stripe takes.

It is bought once in each currency, by webhook alone; each test then looks at another side of it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .conftest import until
from .deadlines import AT_LEISURE
from .harness.knobs import Knobs
from .harness.shop import Cart, Checkout, Line, Shop
from .harness.system import System, running_system
from .harness.wares import Offer, Ware, make_offers, make_shipping_rate, until_on_sale

LINES: Final = 200
WIDE: Final = "\N{SHOPPING BAGS}"
"""One character, and four bytes in UTF-8: no text is larger."""
LONGEST_NAME: Final = 256
LONGEST_ID: Final = 255
LONGEST_LINE: Final = 512
"""Of an address."""
QUANTITIES: Final = [*(1 + place % 7 for place in range(LINES - 1)), 1]
LARGEST_CHARGE: Final = {"usd": 99_999_999, "jpy": 99_999_999, "kwd": 99_999_990}
"""Eight digits, in the currency's minor unit; three-decimal amounts must end in 0.
Source: https://docs.stripe.com/currencies"""
SHIPPING: Final = 1_005
"""Minor units in each currency. Without it the sum in KWD does not end in 0."""

CONTACT: Final = {
    "name": WIDE * 256,
    "email": f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 55}.example.com",
    "phone": "+" + "1" * 39,
}
ADDRESS: Final = {
    "line1": "1".ljust(LONGEST_LINE, WIDE),
    "line2": "2".ljust(LONGEST_LINE, WIDE),
    "city": "C".ljust(LONGEST_LINE, WIDE),
    "state": "S".ljust(LONGEST_LINE, WIDE),
    "postalCode": "P".ljust(LONGEST_LINE, WIDE),
    "country": "KW",
}
ADDRESS_COLUMNS: Final = ("line1", "line2", "city", "state", "postal_code", "country")
"""In the order of ADDRESS."""
SHIPPING_NAME: Final = WIDE * 100

CURRENCIES: Final = pytest.mark.parametrize("currency", LARGEST_CHARGE)


@dataclass(frozen=True)
class Market:
    """What is on sale in one currency: one cart takes it all."""

    offers: Sequence[Offer]
    shipping_rate: str

    @property
    def cart(self) -> Cart:
        """The largest cart."""
        lines = [Line(offer.price_id, quantity) for offer, quantity in zip(self.offers, QUANTITIES, strict=True)]
        return Cart(lines, CONTACT, ADDRESS, self.shipping_rate)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run a system of its own, since its catalogue is like no other."""
    folder = tmp_path_factory.mktemp("holdfast")
    async with running_system(folder, options=StackOptions(durable=False, seed=4, settings=AT_LEISURE)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def knobs(system: System) -> AsyncIterator[Knobs]:
    """Look at what the simulator was asked."""
    async with Knobs(system.backend.addresses.stripe_api) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(system: System) -> AsyncIterator[Shop]:
    """Open a shop for a signed-in user."""
    async with system.shop(user_id="user-1") as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def markets(system: System, shop: Shop) -> dict[str, Market]:
    """Put two hundred wares on sale in each currency, and wait until the gateway sells them."""
    offers = await make_offers(system.stripe, largest_wares())
    rates = {
        currency: await make_shipping_rate(system.stripe, name=SHIPPING_NAME, amount=SHIPPING, currency=currency)
        for currency in LARGEST_CHARGE
    }
    await until_on_sale([shop], [offer.price_id for offer in offers])
    return {
        currency: Market([offer for offer in offers if offer.currency == currency], rate)
        for currency, rate in rates.items()
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def checkouts(system: System, shop: Shop, markets: Mapping[str, Market]) -> dict[str, Checkout]:
    """Buy the largest cart in each currency, and leave it to the webhook to record it."""
    begun = {currency: await shop.checkout(market.cart) for currency, market in markets.items()}
    for checkout in begun.values():
        (await shop.pay(checkout)).ok()

    async def all_recorded() -> bool:
        return not await system.attempts.content_keys()

    await until(all_recorded, "recording the largest carts")
    return begun


@CURRENCIES
async def test_the_largest_cart_checks_out(
    system: System, checkouts: Mapping[str, Checkout], markets: Mapping[str, Market], currency: str
) -> None:
    """Its order has the largest sum that Stripe charges, and every line, name and address to the last character."""
    checkout = checkouts[currency]

    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    orders = await system.books.orders_of(checkout.attempt_id)
    items = await system.books.items_of(checkout.attempt_id)

    assert (intent.amount_received, intent.currency) == (LARGEST_CHARGE[currency], currency)
    assert [(order["total_minor"], order["currency"]) for order in orders] == [(LARGEST_CHARGE[currency], currency)]
    (order,) = orders
    assert (order["shipping_minor"], order["shipping_rate_name"]) == (SHIPPING, SHIPPING_NAME)
    assert {name: order[f"contact_{name}"] for name in CONTACT} == CONTACT
    assert [order[f"shipping_{column}"] for column in ADDRESS_COLUMNS] == list(ADDRESS.values())
    assert [(item["name"], item["product_id"], item["unit_amount_minor"]) for item in items] == [
        (offer.name, offer.product_id, offer.unit_amount) for offer in markets[currency].offers
    ]
    assert [item["quantity"] for item in items] == QUANTITIES
    assert {(len(item["name"]), len(item["product_id"])) for item in items} == {(LONGEST_NAME, LONGEST_ID)}


@CURRENCIES
async def test_p1_the_largest_carts_intent_carries_one_key(
    system: System, checkouts: Mapping[str, Checkout], knobs: Knobs, currency: str
) -> None:
    """However large the cart, Stripe was sent and keeps `metadata: {checkoutAttemptId}`, and no line of it."""
    checkout = checkouts[currency]

    sent = [
        request["params"]
        for request in await knobs.requests("POST", "/v1/payment_intents")
        if request["params"]["metadata"]["checkoutAttemptId"] == checkout.attempt_id
    ]
    held = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)

    assert [each["metadata"] for each in sent] == [{"checkoutAttemptId": checkout.attempt_id}]
    assert held.to_dict()["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    assert WIDE not in str(sent)


@CURRENCIES
async def test_the_largest_order_is_read_back(
    system: System, shop: Shop, checkouts: Mapping[str, Checkout], markets: Mapping[str, Market], currency: str
) -> None:
    """Its buyer reads all of it through the gateway."""
    checkout = checkouts[currency]
    (order,) = await system.books.orders_of(checkout.attempt_id)

    read = (await shop.order(str(order["id"]))).ok()

    assert read["number"] == order["number"]
    assert read["checkoutAttemptId"] == checkout.attempt_id
    assert (read["totalAmount"], read["currency"]) == (LARGEST_CHARGE[currency], currency)
    assert (read["contact"], read["shippingAddress"]) == (CONTACT, ADDRESS)
    assert read["shippingOption"]["name"] == SHIPPING_NAME
    assert read["items"] == as_read(markets[currency])


async def test_the_largest_orders_are_listed(shop: Shop, checkouts: Mapping[str, Checkout]) -> None:
    """A user who asks for a hundred orders of that size gets pages that can be carried, and every order once."""
    found: list[str] = []
    query = {"limit": "100"}

    while True:
        page = (await shop.orders(**query)).ok()
        found += [order["checkoutAttemptId"] for order in page["orders"]]
        if not page.get("nextCursor"):
            break
        query["cursor"] = page["nextCursor"]

    assert sorted(found) == sorted(checkout.attempt_id for checkout in checkouts.values())


@pytest.mark.parametrize("lines", [1, LINES])
async def test_three_decimals_that_do_not_end_in_zero_are_refused(
    system: System,
    shop: Shop,
    knobs: Knobs,
    markets: Mapping[str, Market],
    lines: int,
) -> None:
    """A sum in KWD that Stripe could not take is a 422 that says so: no attempt is stored and no intent is made."""
    whole = markets["kwd"].cart
    mark, stored = await knobs.requests_so_far(), await system.attempts.content_keys()
    cart = Cart(whole.lines[:lines], whole.contact, whole.address)  # without the shipping that makes the sum even

    reply = await shop.initiate(cart)

    assert reply.status == 422
    assert reply.body["errors"] == [{"field": "items", "message": "must come to a multiple of 10 minor units in kwd"}]
    assert await system.attempts.content_keys() == stored
    assert await knobs.requests("POST", "/v1/payment_intents", after=mark) == []


def largest_wares() -> list[Ware]:
    """Think up wares with the longest names and ids, which together come to the largest charge in each currency."""
    unit_amounts = {currency: adding_up_to(charge - SHIPPING) for currency, charge in LARGEST_CHARGE.items()}
    return [
        Ware(
            name=f"{place:03}".ljust(LONGEST_NAME, WIDE),
            product_id=f"ware_{place:03}_".ljust(LONGEST_ID, "x"),
            unit_amounts={currency: amounts[place] for currency, amounts in unit_amounts.items()},
        )
        for place in range(LINES)
    ]


def adding_up_to(charge: int) -> list[int]:
    """Return different unit amounts that come, in the cart's quantities, to a charge."""
    amounts = [90_001 + 37 * place for place in range(LINES - 1)]
    rest = charge - sum(amount * quantity for amount, quantity in zip(amounts, QUANTITIES, strict=False))
    return [*amounts, rest]


def as_read(market: Market) -> list[dict[str, Any]]:
    """Return a market's largest cart as the gateway shows its lines."""
    return [
        {
            "priceId": offer.price_id,
            "productId": offer.product_id,
            "name": offer.name,
            "quantity": quantity,
            "unitAmount": offer.unit_amount,
        }
        for offer, quantity in zip(market.offers, QUANTITIES, strict=True)
    ]
