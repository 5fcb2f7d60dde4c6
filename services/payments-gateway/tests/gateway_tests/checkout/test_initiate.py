from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.initiate import Checkout, CheckoutRequest
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptClosed,
    CloseReason,
    DeleteReason,
    RequestHashMismatch,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, PaymentProcessing
from payments_gateway.domain.intents import IntentParams, IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import InvalidRequest

from ..assembly import PAY_BY, Gateway
from ..fakes import Crash
from ..samples import checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BUYER = Caller("user_ada")
MUG = checkout_request()
CLUB = checkout_request(("price_club", 2))
MIXED = checkout_request(("price_mug", 1), ("price_paper_trial", 1), ("price_club", 1))
CALLERS = pytest.mark.parametrize("caller", [GUEST, BUYER], ids=["guest", "user"])
CARTS = pytest.mark.parametrize("asked", [MUG, CLUB, MIXED], ids=["one-time", "subscription", "mixed"])


async def begin(gateway: Gateway, asked: CheckoutRequest = MUG, caller: Caller = GUEST) -> Checkout:
    """Begin a checkout with the tests' key."""
    return await gateway.initiate.begin(asked, caller, KEY)


def stored_for(gateway: Gateway, checkout: Checkout) -> Attempt:
    """Return the attempt of a checkout."""
    attempt = gateway.attempts.at(checkout.attempt_id)
    assert isinstance(attempt, Attempt)
    return attempt


@CALLERS
@CARTS
async def test_p2_the_secret_is_released_after_the_attempt_is_saved_with_its_intent(
    gateway: Gateway, asked: CheckoutRequest, caller: Caller
) -> None:
    """The customer, only for subscriptions, comes first, then the intent, then the save with both."""
    checkout = await gateway.initiate.begin(asked, caller, None)

    [intent], stored = gateway.intents.all(), stored_for(gateway, checkout)
    customer_id = None if asked is MUG else "cus_1"
    saved = (stored.intent, stored.context.total, stored.context.stripe_customer_id)
    assert gateway.wire.calls[-2:] == ["intents.create", "attempts.save"]
    assert list(gateway.stripe_customers.emails) == ([customer_id] if customer_id else [])
    assert gateway.intents.params_of(intent.ref) == IntentParams(intent.ref.kind, checkout.amount, customer_id)
    assert saved == (intent.ref, checkout.amount, customer_id)
    assert (checkout.client_secret, checkout.attempt_id) == (intent.client_secret, intent.attempt_id)


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
async def test_a_fresh_checkout_is_one_call_to_stripe_and_one_to_checkout_session(
    gateway: Gateway, key: str | None
) -> None:
    """Orders is not asked, so that it may be away."""
    await gateway.initiate.begin(MUG, BUYER, key)

    assert gateway.wire.calls == ["intents.create", "attempts.save"]


async def test_p2_an_attempt_that_was_found_is_saved_again_before_its_secret_leaves(gateway: Gateway) -> None:
    """A failed save may have left the attempt where a crash loses it, so finding it is not enough."""
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"), after_effect=True)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await begin(gateway)
    [stored] = gateway.attempts.stored()

    gateway.wire.heal()

    assert (await begin(gateway)).attempt_id == stored.attempt_id


async def test_an_attempt_closed_while_it_is_saved_again_is_not_released(gateway: Gateway) -> None:
    """The close wins."""
    checkout = await begin(gateway)
    gateway.wire.meanwhile("attempts.save", lambda: gateway.attempts.close(checkout.attempt_id, CloseReason.SUPERSEDED))

    with pytest.raises(AttemptClosed):
        await begin(gateway)


async def test_a_cart_that_cannot_be_sold_leaves_no_trace(gateway: Gateway) -> None:
    """No intent is created, nothing is saved, and the attempt to be replaced stays."""
    old = gateway.stored_attempt()
    request = checkout_request(("price_club", 1), ("price_gone", 1), supersedes=old.attempt_id)

    with pytest.raises(InvalidRequest):
        await gateway.initiate.begin(request, BUYER, None)

    assert gateway.wire.calls == []
    assert gateway.attempts.stored() == [old]


@CALLERS
@CARTS
async def test_a_retry_is_given_the_same_checkout(gateway: Gateway, asked: CheckoutRequest, caller: Caller) -> None:
    """With the first pay-by. Nothing is created again, and orders is not asked for a purchase."""
    first = await begin(gateway, asked, caller)
    gateway.clock.advance(3600)

    second = await begin(gateway, asked, caller)

    assert second == first
    assert len(gateway.intents.all()) == 1
    assert gateway.wire.calls[-3:] == ["intents.create", "attempts.find", "attempts.save"]


@CALLERS
@CARTS
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(8))
async def test_p2_a_retry_completes_after_a_crash_at_any_call(
    gateway: Gateway, asked: CheckoutRequest, caller: Caller, call: int, *, after_effect: bool
) -> None:
    """Killed before or after the effect of any call: one customer, one intent, one attempt."""
    gateway.wire.fail(call, Crash(), after_effect=after_effect)
    with suppress(Crash):  # some carts have fewer calls
        await begin(gateway, asked, caller)
    gateway.wire.heal()

    checkout = await begin(gateway, asked, caller)

    [intent], customers = gateway.intents.all(), gateway.stripe_customers.emails
    assert stored_for(gateway, checkout).intent == intent.ref
    assert stored_for(gateway, checkout).context.stripe_customer_id == next(iter(customers), None)
    assert len(customers) == (0 if asked is MUG else 1)
    assert checkout.client_secret == intent.client_secret


@pytest.mark.parametrize("other", [checkout_request(("price_pen", 1)), CLUB], ids=["another sum", "another kind"])
async def test_a_key_with_other_content_is_refused(gateway: Gateway, other: CheckoutRequest) -> None:
    """The first checkout stays payable, and no other intent is created."""
    await begin(gateway)

    with pytest.raises(RequestHashMismatch):
        await begin(gateway, other)

    [intent] = gateway.intents.all()
    assert intent.is_payable


Arrange = Callable[[Gateway, Attempt], object]


def intent_becomes(status: IntentStatus) -> Arrange:
    """Return a change of the intent's status."""
    return lambda gateway, attempt: gateway.intents.change(attempt.intent, status=status)


async def begun_and(gateway: Gateway, arrange: Arrange, asked: CheckoutRequest = MUG) -> None:
    """Begin a checkout, and let something happen to it."""
    done = arrange(gateway, stored_for(gateway, await begin(gateway, asked)))
    if isinstance(done, Awaitable):
        await done


UNPAYABLE: dict[str, tuple[Arrange, type[Exception]]] = {
    "closed": (
        lambda gateway, attempt: gateway.attempts.close(attempt.attempt_id, CloseReason.SUPERSEDED),
        AttemptClosed,
    ),
    "cancelled and deleted": (
        lambda gateway, attempt: gateway.attempts.delete(attempt.attempt_id, DeleteReason.CANCELLED),
        AttemptClosed,
    ),
    "after pay-by": (lambda gateway, _attempt: gateway.clock.advance(PAY_BY.total_seconds()), AttemptClosed),
    "intent cancelled": (intent_becomes(IntentStatus.CANCELED), AttemptClosed),
    "at the bank": (intent_becomes(IntentStatus.PROCESSING), PaymentProcessing),
    "to be captured": (intent_becomes(IntentStatus.REQUIRES_CAPTURE), PaymentProcessing),
}


@pytest.mark.parametrize("asked", [MUG, CLUB], ids=["payment", "setup"])
@pytest.mark.parametrize(("arrange", "refusal"), UNPAYABLE.values(), ids=UNPAYABLE)
async def test_a_retry_of_an_unpayable_checkout_is_refused(
    gateway: Gateway, asked: CheckoutRequest, arrange: Arrange, refusal: type[Exception]
) -> None:
    """The secret is released only while it can be used, and never while the buyer could pay twice."""
    await begun_and(gateway, arrange, asked)

    with pytest.raises(refusal):
        await begin(gateway, asked)


def pay(gateway: Gateway, attempt: Attempt) -> None:
    """Pay, and report it to nobody."""
    gateway.intents.pay(attempt.intent)


async def pay_and_report(gateway: Gateway, attempt: Attempt) -> None:
    """Pay, and let the webhook report it."""
    await gateway.fulfil(gateway.intents.pay(attempt.intent))


async def pay_and_erase(gateway: Gateway, attempt: Attempt) -> None:
    """Pay, and erase the purchase's personal data."""
    await pay_and_report(gateway, attempt)
    gateway.orders.erase(attempt.attempt_id)


def pay_and_lose(gateway: Gateway, attempt: Attempt) -> None:
    """Pay, and lose the attempt."""
    pay(gateway, attempt)
    gateway.attempts.lose(attempt.attempt_id)


def pay_another_sum(gateway: Gateway, attempt: Attempt) -> None:
    """Pay less than the intent's amount."""
    gateway.intents.pay(attempt.intent, Money(1, "usd"))


@pytest.mark.parametrize(
    ("arrange", "is_shown"),
    [(pay, True), (pay_and_report, True), (pay_and_lose, True), (pay_another_sum, False), (pay_and_erase, False)],
)
async def test_p3_a_retry_of_a_paid_checkout_shows_the_purchase(
    gateway: Gateway, arrange: Arrange, *, is_shown: bool
) -> None:
    """The retry records it if nobody has, also when the attempt is lost; an erased purchase is not shown (P7)."""
    await begun_and(gateway, arrange)

    with pytest.raises(AlreadyPaid) as refusal:
        await begin(gateway)

    assert [refusal.value.purchase] == (gateway.orders.purchases() if is_shown else [None])
    assert gateway.attempts.stored() == []


@pytest.mark.parametrize("retried", [MUG, checkout_request(("price_pen", 3)), checkout_request(("price_gone", 1))])
async def test_a_bought_attempt_that_the_store_lost_is_not_begun_again(
    gateway: Gateway, retried: CheckoutRequest
) -> None:
    """The retry is shown the purchase and gets no secret: with the same cart, with another, or with one unsellable."""
    await begun_and(gateway, pay_and_report)
    gateway.attempts.lose(gateway.ids.derive(GUEST, KEY))

    with pytest.raises(AlreadyPaid) as refusal:
        await begin(gateway, retried)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert gateway.attempts.stored() == []


async def test_a_lost_attempt_is_not_begun_again_with_another_cart(gateway: Gateway) -> None:
    """The first cart's secret may be released: the buyer could pay both."""
    checkout = await begin(gateway)
    gateway.attempts.lose(checkout.attempt_id)

    with pytest.raises(RequestHashMismatch):
        await begin(gateway, checkout_request(("price_pen", 3)))

    assert len(gateway.intents.all()) == 1


async def test_a_key_that_replays_a_cancelled_intent_is_left_behind(gateway: Gateway) -> None:
    """After a crash before the save, and a cancel, the retry uses the next key and gets a payable intent."""
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"))
    with pytest.raises(ServiceUnavailable):
        await begin(gateway)
    gateway.wire.heal()
    [cancelled] = gateway.intents.all()
    gateway.intents.change(cancelled.ref, status=IntentStatus.CANCELED)

    released = stored_for(gateway, await begin(gateway)).intent

    assert released != cancelled.ref
    assert gateway.status_of(released) == "requires_payment_method"


async def test_after_five_exhausted_keys_the_attempt_is_closed(gateway: Gateway) -> None:
    """The client has to begin a new checkout; nothing is saved."""
    for generation in range(5):
        gateway.intents.exhaust(gateway.ids.derive(GUEST, KEY), generation)

    with pytest.raises(AttemptClosed):
        await begin(gateway)

    assert gateway.wire.calls.count("intents.create") == 5
    assert gateway.attempts.stored() == []


async def test_while_stripe_fails_a_request_exhausts_two_keys_at_most(gateway: Gateway) -> None:
    """The other keys are kept for later, and the next request continues with them."""
    attempt_id = gateway.ids.derive(GUEST, KEY)
    for generation in range(2):
        gateway.intents.exhaust(attempt_id, generation, just_now=True)

    with pytest.raises(StripeUnavailable):
        await begin(gateway)
    for generation in range(2):
        gateway.intents.exhaust(attempt_id, generation)
    await begin(gateway)

    assert gateway.wire.calls.count("intents.create") == 2 + 3


@CALLERS
async def test_a_customer_that_was_deleted_at_stripe_is_replaced(gateway: Gateway, caller: Caller) -> None:
    """The checkout continues with another, which is stored and is the user's from now on."""

    async def delete() -> None:
        [deleted] = gateway.stripe_customers.emails
        gateway.stripe_customers.delete(deleted)
        gateway.intents.missing_customers.add(deleted)

    gateway.wire.meanwhile("intents.create", delete)

    stored = stored_for(gateway, await begin(gateway, CLUB, caller))

    [customer_id] = gateway.stripe_customers.emails
    assert stored.context.stripe_customer_id == customer_id != "cus_1"
    assert gateway.intents.params_of(stored.intent).customer_id == customer_id
    assert set(gateway.customers.customers.values()) <= {customer_id}


async def test_two_deleted_customers_end_the_request(gateway: Gateway) -> None:
    """The client retries; Stripe is not asked without end."""
    gateway.intents.missing_customers |= {"cus_1", "cus_2", "cus_3"}

    with pytest.raises(StripeUnavailable):
        await begin(gateway, CLUB, BUYER)

    assert gateway.wire.calls.count("intents.create") == 2
    assert gateway.attempts.stored() == []


async def test_a_crash_after_a_customer_was_replaced_ends_the_checkout(gateway: Gateway) -> None:
    """Stripe refuses the retry's first key, which names the deleted customer; a new checkout succeeds."""
    await gateway.initiate.begin(MIXED, BUYER, None)
    gateway.stripe_customers.delete("cus_1")
    gateway.intents.missing_customers.add("cus_1")
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"))
    with pytest.raises(ServiceUnavailable):
        await begin(gateway, CLUB, BUYER)
    gateway.wire.heal()

    with pytest.raises(RequestHashMismatch):
        await begin(gateway, CLUB, BUYER)
    another = await gateway.initiate.begin(CLUB, BUYER, None)

    assert stored_for(gateway, another).context.stripe_customer_id == "cus_2"


async def test_p7_a_repr_shows_no_secret(gateway: Gateway) -> None:
    """A repr may end in a log."""
    checkout = await begin(gateway)

    shown = repr(checkout) + repr(gateway.intents.all()) + repr(gateway.attempts.stored())
    assert "hush" in checkout.client_secret
    assert "hush" not in shown
