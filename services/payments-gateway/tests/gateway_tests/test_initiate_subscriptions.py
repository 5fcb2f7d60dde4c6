import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.initiate import Checkout, CheckoutRequest
from payments_gateway.domain.attempts import Attempt, AttemptClosed, IntentKind, RequestHashMismatch
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import PaymentProcessing
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.grpc_client import ServiceUnavailable
from servicekit.violations import InvalidRequest

from .assembly import Gateway
from .fakes import Crash
from .samples import MONTHLY, WEEKLY_AFTER_A_FORTNIGHT, checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BUYER = Caller("user_ada")
CLUB = checkout_request(("price_club", 2))
MIXED = checkout_request(("price_mug", 1), ("price_paper_trial", 1), ("price_club", 1))
MUG = checkout_request()
CALLERS = pytest.mark.parametrize("caller", [GUEST, BUYER], ids=["guest", "user"])
CARTS = pytest.mark.parametrize("asked", [CLUB, MIXED], ids=["subscription", "mixed"])


def stored_for(gateway: Gateway, checkout: Checkout) -> Attempt:
    """Show the attempt of a checkout."""
    attempt = gateway.attempts.at(checkout.attempt_id)
    assert isinstance(attempt, Attempt)
    return attempt


def sums(checkout: Checkout) -> list[tuple[object, int]]:
    """Show what is charged again."""
    return [(charged.recurring, charged.amount.minor_units) for charged in checkout.recurring]


@CALLERS
async def test_a_cart_of_subscriptions_is_set_up(gateway: Gateway, caller: Caller) -> None:
    """The customer is there before the intent, which takes nothing; both are stored before the secret leaves (P2)."""
    checkout = await gateway.initiate.begin(CLUB, caller, None)

    stored, [customer_id] = stored_for(gateway, checkout), gateway.accounts.emails
    terms = gateway.intents.terms_of(stored.intent)
    assert gateway.wire.calls[-2:] == ["intents.create", "attempts.save"]
    assert "customers.create" in gateway.wire.calls[:-2]
    assert (terms.kind, terms.amount, terms.customer_id) == (IntentKind.SETUP, Money(0, "usd"), customer_id)
    assert (stored.context.total, stored.context.stripe_customer_id) == (Money(0, "usd"), customer_id)
    assert (checkout.kind, checkout.amount, checkout.amount_due_today) == (
        IntentKind.SETUP,
        Money(0, "usd"),
        Money(1800, "usd"),
    )
    assert sums(checkout) == [(MONTHLY, 1800)]


@CALLERS
async def test_a_mixed_cart_is_paid_and_keeps_the_payment_method(gateway: Gateway, caller: Caller) -> None:
    """The intent takes the one-time lines for a customer whom the subscriptions can be charged to."""
    checkout = await gateway.initiate.begin(MIXED, caller, None)

    stored, [customer_id] = stored_for(gateway, checkout), gateway.accounts.emails
    terms = gateway.intents.terms_of(stored.intent)
    assert (terms.kind, terms.amount, terms.customer_id) == (IntentKind.PAYMENT, Money(1250, "usd"), customer_id)
    assert (stored.context.total, stored.context.stripe_customer_id) == (Money(1250, "usd"), customer_id)
    assert (checkout.amount_due_today, sums(checkout)) == (
        Money(2150, "usd"),
        [(WEEKLY_AFTER_A_FORTNIGHT, 200), (MONTHLY, 900)],
    )


async def test_a_one_time_cart_has_no_customer(gateway: Gateway) -> None:
    """Stripe is not asked for one, and orders is not either."""
    checkout = await gateway.initiate.begin(MUG, BUYER, None)

    assert gateway.wire.calls == ["intents.create", "attempts.save"]
    assert stored_for(gateway, checkout).context.stripe_customer_id is None
    assert gateway.intents.terms_of(stored_for(gateway, checkout).intent).customer_id is None


@CALLERS
@CARTS
async def test_a_retry_is_given_the_same_checkout(gateway: Gateway, asked: CheckoutRequest, caller: Caller) -> None:
    """With the same sums, however the catalogue changed; no second intent and no second customer."""
    first = await gateway.initiate.begin(asked, caller, KEY)
    gateway.source.catalogue = replace(gateway.source.catalogue, prices={})
    gateway.clock.advance(3600)

    second = await gateway.initiate.begin(asked, caller, KEY)

    assert second == first
    assert len(gateway.intents.all()) == len(gateway.accounts.emails) == 1


@CALLERS
@CARTS
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("place", range(7))
async def test_a_crash_anywhere_is_mended_by_the_retry(
    gateway: Gateway,
    asked: CheckoutRequest,
    caller: Caller,
    place: int,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """Killed at any call, before or after its effect: one customer, one intent, one attempt (P2)."""
    gateway.wire.fail(place, Crash(), after_effect=after_effect)
    with suppress(Crash):  # a guest's has fewer calls
        await gateway.initiate.begin(asked, caller, KEY)
    gateway.wire.heal()

    checkout = await gateway.initiate.begin(asked, caller, KEY)

    [intent], [customer_id] = gateway.intents.all(), gateway.accounts.emails
    assert stored_for(gateway, checkout).intent == intent.ref
    assert stored_for(gateway, checkout).context.stripe_customer_id == customer_id
    assert checkout.client_secret == intent.client_secret


@pytest.mark.parametrize(
    "lines",
    [
        [("price_mug", 1), ("price_metered", 1)],
        [("price_club", 1), ("price_club_eur", 1)],
        [("price_club", 1), ("price_box_trial", 1)],
        [(f"price_box_{number}", 1) for number in range(1, 22)],
    ],
    ids=["metered", "two currencies", "two trials", "too many lines"],
)
async def test_a_cart_that_cannot_be_sold_leaves_no_trace(gateway: Gateway, lines: list[tuple[str, int]]) -> None:
    """Nothing is made at Stripe, nothing is stored, nobody is even asked."""
    with pytest.raises(InvalidRequest):
        await gateway.initiate.begin(checkout_request(*lines), BUYER, None)

    assert gateway.wire.calls == []


async def test_twenty_checkouts_of_a_new_user_at_once_use_one_customer(gateway: Gateway) -> None:
    """Each has its own intent, all for the same customer, and Stripe has no other."""
    checkouts = await asyncio.gather(*(gateway.initiate.begin(CLUB, BUYER, str(number)) for number in range(20)))

    customers = {stored_for(gateway, checkout).context.stripe_customer_id for checkout in checkouts}
    intents = {stored_for(gateway, checkout).intent for checkout in checkouts}
    assert len(intents) == 20
    assert customers == set(gateway.accounts.emails) == {gateway.register.customers["user_ada"]}
    assert {gateway.intents.terms_of(ref).customer_id for ref in intents} == customers


async def test_twelve_equal_requests_of_a_guest_at_once_are_one_checkout(gateway: Gateway) -> None:
    """One customer, one intent, one secret."""
    checkouts = await asyncio.gather(*(gateway.initiate.begin(CLUB, GUEST, KEY) for _ in range(12)))

    assert len({checkout.client_secret for checkout in checkouts}) == 1
    assert len(gateway.intents.all()) == len(gateway.accounts.emails) == len(gateway.attempts.stored()) == 1


@CALLERS
async def test_a_customer_that_was_deleted_at_stripe_is_replaced(gateway: Gateway, caller: Caller) -> None:
    """The checkout goes on with another, which is the user's from now on and is what is stored."""

    async def deleted() -> None:
        [gone] = gateway.accounts.emails
        gateway.accounts.delete(gone)
        gateway.intents.miss_customer(gone)

    gateway.wire.meanwhile("intents.create", deleted)

    checkout = await gateway.initiate.begin(CLUB, caller, KEY)

    stored, [customer_id] = stored_for(gateway, checkout), gateway.accounts.emails
    assert stored.context.stripe_customer_id == customer_id != "cus_1"
    assert gateway.intents.terms_of(stored.intent).customer_id == customer_id
    assert set(gateway.register.customers.values()) <= {customer_id}


async def test_a_customer_that_is_deleted_again_and_again_ends_the_request(gateway: Gateway) -> None:
    """The buyer is told to come again; Stripe is not asked for ever."""
    for number in range(1, 4):
        gateway.intents.miss_customer(f"cus_{number}")

    with pytest.raises(StripeUnavailable):
        await gateway.initiate.begin(CLUB, BUYER, KEY)

    assert gateway.wire.calls.count("intents.create") == 2
    assert gateway.attempts.stored() == []


async def test_a_crash_after_a_customer_was_replaced_ends_the_checkout(gateway: Gateway) -> None:
    """Stripe refuses the retry its first key, which names the deleted customer: only a new checkout can go on."""
    await gateway.initiate.begin(MIXED, BUYER, None)
    gateway.accounts.delete("cus_1")
    gateway.intents.miss_customer("cus_1")
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"))
    with pytest.raises(ServiceUnavailable):
        await gateway.initiate.begin(CLUB, BUYER, KEY)
    gateway.wire.heal()

    with pytest.raises(RequestHashMismatch):
        await gateway.initiate.begin(CLUB, BUYER, KEY)
    anew = await gateway.initiate.begin(CLUB, BUYER, None)

    assert stored_for(gateway, anew).context.stripe_customer_id == "cus_2"


@pytest.mark.parametrize(
    ("before", "after"),
    [(MUG, ("price_club", 1)), (CLUB, ("price_mug", 1)), (MIXED, ("price_club", 1)), (CLUB, ("price_almanac", 1))],
    ids=["one-time to subscription", "subscription to one-time", "mixed to subscription", "to another subscription"],
)
async def test_a_changed_cart_replaces_one_of_another_kind(
    gateway: Gateway, before: CheckoutRequest, after: tuple[str, int]
) -> None:
    """The old intent is cancelled, whichever kind it is, and the new one is the new cart's kind."""
    first = await gateway.initiate.begin(before, BUYER, None)
    old = stored_for(gateway, first).intent

    second = await gateway.initiate.begin(checkout_request(after, supersedes=first.attempt_id), BUYER, None)

    assert gateway.status_of(old) == "canceled"
    assert gateway.attempts.stored() == [stored_for(gateway, second)]
    assert len(gateway.accounts.emails) == 1


async def test_a_setup_that_is_under_way_is_not_replaced(gateway: Gateway) -> None:
    """It may end in a subscription yet: beginning another could charge twice."""
    first = await gateway.initiate.begin(CLUB, BUYER, None)
    gateway.intents.turn(stored_for(gateway, first).intent, IntentStatus.PROCESSING)

    with pytest.raises(PaymentProcessing):
        await gateway.initiate.begin(checkout_request(supersedes=first.attempt_id), BUYER, None)


@pytest.mark.parametrize("status", [IntentStatus.CANCELED, IntentStatus.PROCESSING])
async def test_a_retry_finds_out_how_the_setup_stands(gateway: Gateway, status: IntentStatus) -> None:
    """Its secret is released while it can be used, and not after."""
    first = await gateway.initiate.begin(CLUB, BUYER, KEY)
    gateway.intents.turn(stored_for(gateway, first).intent, status)

    with pytest.raises(AttemptClosed if status is IntentStatus.CANCELED else PaymentProcessing):
        await gateway.initiate.begin(CLUB, BUYER, KEY)


async def test_a_key_with_a_cart_of_another_kind_is_refused(gateway: Gateway) -> None:
    """The first checkout stays as it was."""
    first = await gateway.initiate.begin(CLUB, GUEST, KEY)

    with pytest.raises(RequestHashMismatch):
        await gateway.initiate.begin(MUG, GUEST, KEY)

    assert gateway.status_of(stored_for(gateway, first).intent) == "requires_payment_method"


async def test_orders_away_begins_no_checkout_of_a_user(gateway: Gateway) -> None:
    """Whose customer it would be is not known; nothing is made at Stripe."""
    gateway.wire.fail("register.find", ServiceUnavailable("orders"))

    with pytest.raises(ServiceUnavailable):
        await gateway.initiate.begin(CLUB, BUYER, KEY)

    assert (gateway.accounts.keys, gateway.intents.all()) == ([], [])
