"""Retries of a checkout: what stands under its id decides, whatever became of prices and dependencies since."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import cycle

import pytest

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.initiate import Checkout, CheckoutRequest, Initiate
from payments_gateway.domain.attempts import AttemptClosed, DeleteReason
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..assembly import PAY_BY, Gateway
from ..fakes import SlowWire, pause
from ..samples import ATTEMPT_ID, ATTEMPT_ID_SECRET, catalogue, checkout_request, price

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BUYER = Caller("user_ada")
MUG = checkout_request()
CLUB = checkout_request(("price_club", 1))
REPLACING = checkout_request(("price_pen", 1), supersedes=ATTEMPT_ID)

Happening = Callable[[Gateway], Awaitable[None] | None]


async def begin(gateway: Gateway, asked: CheckoutRequest = MUG) -> Checkout:
    """Begin a checkout with the tests' key."""
    return await gateway.initiate.begin(asked, BUYER, KEY)


async def sell(gateway: Gateway, price_id: str) -> None:
    """Sell nothing but one thing, at another price."""
    gateway.source.catalogue = catalogue(price(price_id, 999))
    gateway.clock.advance(1)
    await gateway.catalogue._cache.refresh()


def exhaust_all_keys(gateway: Gateway) -> None:
    """Let all idempotency keys at Stripe replay failures."""
    for generation in range(5):
        gateway.intents.exhaust(gateway.ids.derive(BUYER, KEY), generation)


HAPPENINGS: dict[str, tuple[CheckoutRequest, Happening]] = {
    "another price": (MUG, lambda gateway: sell(gateway, "price_mug")),
    "not for sale any more": (MUG, lambda gateway: sell(gateway, "price_pen")),
    "no catalogue": (MUG, lambda gateway: gateway.clock.advance(7201)),
    "no usable key": (MUG, exhaust_all_keys),
    "a new key refused": (MUG, lambda gateway: gateway.wire.fail("intents.create", StripeUnavailable())),
    "keys forgotten": (MUG, lambda gateway: gateway.intents.forget_keys()),
    "no customer": (CLUB, lambda gateway: gateway.wire.fail("customers.find", ServiceUnavailable("orders"))),
    "the old attempt forgotten": (REPLACING, lambda gateway: gateway.attempts.lose(ATTEMPT_ID)),
}


@pytest.mark.parametrize(("asked", "happening"), HAPPENINGS.values(), ids=HAPPENINGS)
async def test_a_retry_is_answered_with_what_is_stored(
    gateway: Gateway, asked: CheckoutRequest, happening: Happening
) -> None:
    """It is saved again first (P2), and its intent alone is payable afterwards."""
    if asked.supersedes:
        gateway.stored_attempt()
    first = await begin(gateway, asked)
    if (happens := happening(gateway)) is not None:
        await happens
    gateway.wire.calls.clear()

    second = await begin(gateway, asked)

    [stored] = gateway.attempts.stored()
    assert second == first
    assert "attempts.save" in gateway.wire.calls
    assert [intent.ref for intent in gateway.intents.all() if intent.is_payable] == [stored.intent]


NEW = b"attempt-id-secret-after-rotation"


@pytest.mark.parametrize(
    "secrets", [[NEW, ATTEMPT_ID_SECRET], [ATTEMPT_ID_SECRET, NEW]], ids=["after the first step", "before it"]
)
async def test_a_retry_finds_the_checkout_across_a_rotation(gateway: Gateway, secrets: list[bytes]) -> None:
    """Whichever gateway it meets: a second checkout could be paid as well."""
    other = gateway.another_initiate(AttemptIds(secrets[::-1]))
    first = await other.begin(MUG, BUYER, KEY)

    second = await gateway.another_initiate(AttemptIds(secrets)).begin(MUG, BUYER, KEY)

    assert second == first
    assert len(gateway.intents.all()) == 1


@pytest.fixture(params=[[2], [1, 3], [3, 1, 2], [0, 5, 1]], ids=str)
async def rotating(request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """Services whose calls take their time, so that equal requests at two gateways interleave."""
    async with Gateway(wire=SlowWire(cycle(request.param))).opened() as gateway:
        yield gateway


async def begin_at_two_gateways(gateway: Gateway, asked: CheckoutRequest, steps: int) -> tuple[Initiate, Initiate]:
    """Send equal requests to gateways that have the secrets in another order each, and return those."""
    here = gateway.another_initiate(AttemptIds([ATTEMPT_ID_SECRET, NEW]))
    there = gateway.another_initiate(AttemptIds([NEW, ATTEMPT_ID_SECRET]))
    beginning = asyncio.create_task(here.begin(asked, BUYER, KEY))
    await pause(steps)
    await asyncio.gather(beginning, there.begin(asked, BUYER, KEY), return_exceptions=True)
    return here, there


@pytest.mark.parametrize("steps", range(8))
async def test_equal_requests_at_once_across_a_rotation_are_one_checkout(rotating: Gateway, steps: int) -> None:
    """They may be stored under two ids before either gateway sees the other's; retries find the one that stays."""
    here, there = await begin_at_two_gateways(rotating, MUG, steps)

    first, second = await here.begin(MUG, BUYER, KEY), await there.begin(MUG, BUYER, KEY)

    assert first == second
    assert [intent.client_secret for intent in rotating.intents.all() if intent.is_payable] == [first.client_secret]


@pytest.mark.parametrize("steps", range(8))
async def test_equal_changes_of_a_cart_at_once_across_a_rotation_are_no_dead_end(rotating: Gateway, steps: int) -> None:
    """One checkout at most is payable, and the next change of the cart is answered."""
    rotating.stored_attempt()
    await begin_at_two_gateways(rotating, REPLACING, steps)
    payable = [intent for intent in rotating.intents.all() if intent.is_payable]

    last = await rotating.initiate.begin(REPLACING, BUYER, None)

    assert len(payable) <= 1
    assert [intent.client_secret for intent in rotating.intents.all() if intent.is_payable] == [last.client_secret]


async def test_orders_is_asked_before_a_used_key_is_begun_again(gateway: Gateway) -> None:
    """The purchase was made with another intent than the one that Stripe replays; checkout-session lost the attempt."""
    checkout = await begin(gateway)
    other = gateway.intents.another(checkout.attempt_id, Money(2500, "usd"))
    [stored] = gateway.attempts.stored()
    gateway.attempts.put(replace(stored, intent=other))
    await gateway.fulfil(gateway.intents.pay(other))
    gateway.attempts.lose(checkout.attempt_id)

    with pytest.raises(AlreadyPaid) as refusal:
        await begin(gateway)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert gateway.attempts.stored() == []


async def test_an_attempt_past_its_pay_by_is_ended_by_its_retry(gateway: Gateway) -> None:
    """Nobody can pay it afterwards."""
    await begin(gateway)
    gateway.clock.advance(PAY_BY.total_seconds())

    with pytest.raises(AttemptClosed):
        await begin(gateway)

    assert [intent.status.value for intent in gateway.intents.all()] == ["canceled"]
    assert gateway.attempts.stored() == []


@pytest.mark.parametrize("replayed", [True, False])
async def test_an_attempt_whose_customer_was_deleted_is_ended_by_its_retry(gateway: Gateway, *, replayed: bool) -> None:
    """Stripe would refuse each payment. It is ended too if Stripe has forgotten the idempotency key."""
    await begin(gateway, CLUB)
    [stored] = gateway.attempts.stored()
    gateway.intents.change(stored.intent, customer_deleted=True)
    if not replayed:
        gateway.intents.forget_keys()

    with pytest.raises(AttemptClosed):
        await begin(gateway, CLUB)

    assert {intent.status.value for intent in gateway.intents.all()} == {"canceled"}
    assert gateway.attempts.stored() == []


PAID_LATE: dict[IntentStatus, type[Exception]] = {
    IntentStatus.SUCCEEDED: AlreadyPaid,
    IntentStatus.PROCESSING: PaymentProcessing,
}


@pytest.mark.parametrize(("status", "refusal"), PAID_LATE.items())
async def test_a_payment_at_the_last_moment_outweighs_the_pay_by(
    gateway: Gateway, status: IntentStatus, refusal: type[Exception]
) -> None:
    """The retry has read a payable intent, and its cancel finds it paid or at the bank."""
    await begin(gateway)
    [stored] = gateway.attempts.stored()
    gateway.clock.advance(PAY_BY.total_seconds())

    async def pay() -> None:
        gateway.intents.change(stored.intent, status=status, received=stored.context.total)

    gateway.wire.meanwhile("intents.cancel", pay)

    with pytest.raises(refusal):
        await begin(gateway)

    assert len(gateway.orders.purchases()) == (status is IntentStatus.SUCCEEDED)


async def test_a_retry_of_a_cancelled_checkout_leaves_nothing_payable(gateway: Gateway) -> None:
    """Its key replays a cancelled intent, and the one under the next key belongs to no attempt."""
    await begin(gateway)
    [stored] = gateway.attempts.stored()
    gateway.intents.change(stored.intent, status=IntentStatus.CANCELED)
    await gateway.attempts.delete(stored.attempt_id, DeleteReason.CANCELLED)

    for _ in range(6):
        with pytest.raises(AttemptClosed):
            await begin(gateway)

    assert {intent.status.value for intent in gateway.intents.all()} == {"canceled"}


async def test_a_paid_attempt_that_cannot_be_decrypted_is_told_to_be_paid(gateway: Gateway) -> None:
    """Its buyer must not be asked to repeat the request until the key is back."""
    checkout = await begin(gateway)
    [stored] = gateway.attempts.stored()
    gateway.attempts.make_unreadable(checkout.attempt_id)
    gateway.intents.pay(stored.intent)

    with pytest.raises(AlreadyPaid):
        await begin(gateway)


async def test_an_attempt_that_cannot_be_decrypted_is_not_begun_again(gateway: Gateway) -> None:
    """Its key may be on its way, and its intent stays as it is."""
    checkout = await begin(gateway)
    gateway.attempts.make_unreadable(checkout.attempt_id)

    with pytest.raises(ServiceUnavailable):
        await begin(gateway)

    [intent] = gateway.intents.all()
    assert intent.is_payable
