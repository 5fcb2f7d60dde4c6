"""A changed cart: the old checkout lives on until the new one is stored, and is dead before the new secret leaves."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import Attempt, AttemptClosed
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.violations import InvalidRequest

from ..assembly import Gateway
from ..fakes import Crash, SlowWire, pause
from ..samples import ATTEMPT_ID, checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BUYER = Caller("user_ada")
PEN = checkout_request(("price_pen", 1), supersedes=ATTEMPT_ID)
CLUB = checkout_request(("price_club", 1), supersedes=ATTEMPT_ID)
CHECKS = ["attempts.find", "intents.create", "attempts.save"]
WALK = ["attempts.find", "intents.retrieve", "attempts.close", "intents.cancel", "attempts.delete"]


def payable(gateway: Gateway) -> list[str]:
    """Return the client secrets with which a buyer could pay."""
    return [str(intent.client_secret) for intent in gateway.intents.all() if intent.is_payable]


@pytest.mark.parametrize(
    ("before", "after"), [("price_mug", "price_pen"), ("price_mug", "price_club"), ("price_club", "price_mug")]
)
async def test_a_changed_cart_replaces_the_old_attempt(gateway: Gateway, before: str, after: str) -> None:
    """The new attempt is saved before the old one is closed, which is cancelled, of either kind, before the release."""
    first = await gateway.initiate.begin(checkout_request((before, 1)), GUEST, None)
    gateway.wire.calls.clear()

    second = await gateway.initiate.begin(checkout_request((after, 1), supersedes=first.attempt_id), GUEST, None)

    assert [call for call in gateway.wire.calls if "customers" not in call] == [*CHECKS, *WALK]
    [stored] = gateway.attempts.stored()
    assert payable(gateway) == [second.client_secret]
    assert (stored.attempt_id, stored.context.supersedes) == (second.attempt_id, first.attempt_id)


@pytest.mark.parametrize("call", ["attempts.find", "customers.find", "intents.create", "attempts.save"])
@pytest.mark.parametrize("key", [None, KEY])
async def test_the_old_checkout_lives_on_if_the_new_one_fails_before_the_close(
    gateway: Gateway, call: str, key: str | None
) -> None:
    """The buyer can still pay it."""
    old = gateway.stored_attempt()
    gateway.wire.fail(call, StripeUnavailable())

    with pytest.raises(StripeUnavailable):
        await gateway.initiate.begin(CLUB, BUYER, key)

    assert gateway.attempts.at(ATTEMPT_ID) == old
    assert gateway.status_of(old.intent) == "requires_payment_method"


async def test_a_cart_that_cannot_be_sold_leaves_the_old_checkout(gateway: Gateway) -> None:
    """Nothing is created either."""
    old = gateway.stored_attempt()

    with pytest.raises(InvalidRequest):
        await gateway.initiate.begin(checkout_request(("price_gone", 1), supersedes=ATTEMPT_ID), BUYER, None)

    assert gateway.attempts.at(ATTEMPT_ID) == old
    assert gateway.intents.all()[1:] == []


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(8))
@pytest.mark.parametrize("key", [None, KEY])
async def test_a_request_after_a_crash_at_any_call_leaves_one_payable_checkout(
    gateway: Gateway, call: int, key: str | None, *, after_effect: bool
) -> None:
    """The same request with its key finishes the superseding; without one, the first of the chain is superseded again.

    At the crash, too, nobody has the secrets of two payable checkouts: only the old one's was ever released.
    """
    old = gateway.stored_attempt()
    gateway.wire.fail(call, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await gateway.initiate.begin(PEN, BUYER, key)
    gateway.wire.heal()

    checkout = await gateway.initiate.begin(PEN, BUYER, key)

    released = {str(intent.client_secret) for intent in gateway.intents.all() if intent.ref == old.intent}
    released.add(checkout.client_secret)
    assert released & set(payable(gateway)) == {checkout.client_secret}
    assert not isinstance(gateway.attempts.at(ATTEMPT_ID), Attempt)


async def test_a_retry_finishes_the_superseding_before_it_releases_anything(gateway: Gateway) -> None:
    """The first try had saved the new attempt and was killed: the old checkout may have been paid since."""
    old = gateway.stored_attempt()
    gateway.wire.fail("attempts.close", Crash())
    with pytest.raises(Crash):
        await gateway.initiate.begin(PEN, BUYER, KEY)
    gateway.wire.heal()
    gateway.intents.pay(old.intent)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(PEN, BUYER, KEY)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert payable(gateway) == []


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(10))
async def test_a_retry_leaves_nothing_payable_after_a_crash_beside_a_payment(
    gateway: Gateway, call: int, *, after_effect: bool
) -> None:
    """Killed at any call until the new checkout was given up; the old one was paid before."""
    gateway.paid_attempt()
    gateway.wire.fail(call, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await gateway.initiate.begin(PEN, BUYER, KEY)
    gateway.wire.heal()

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(PEN, BUYER, KEY)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert payable(gateway) == []
    assert gateway.attempts.stored() == []


@pytest.mark.parametrize(
    ("status", "refusal"), [(IntentStatus.PROCESSING, PaymentProcessing), (IntentStatus.SUCCEEDED, AlreadyPaid)]
)
async def test_a_retry_tells_of_the_payment_beside_which_its_checkout_was_given_up(
    gateway: Gateway, status: IntentStatus, refusal: type[Exception]
) -> None:
    """Its own attempt is gone then. A client that lost the first answer must not begin another checkout."""
    old = gateway.stored_attempt()
    gateway.intents.change(old.intent, status=IntentStatus.PROCESSING)
    with pytest.raises(PaymentProcessing):
        await gateway.initiate.begin(PEN, BUYER, KEY)
    gateway.intents.change(old.intent, status=status, received=old.context.total)

    with pytest.raises(refusal):
        await gateway.initiate.begin(PEN, BUYER, KEY)

    assert payable(gateway) == []


@pytest.mark.parametrize(
    "status", [IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.PROCESSING, IntentStatus.SUCCEEDED]
)
async def test_p6_a_closed_key_tells_nothing_of_somebody_elses_checkout(gateway: Gateway, status: IntentStatus) -> None:
    """A tombstone does not know the request that began it, so the key could be sent again with any `supersedes`."""
    theirs = gateway.stored_attempt(user_id="user_bob")
    gateway.intents.change(theirs.intent, status=status, received=theirs.context.total)
    mine = await gateway.initiate.begin(checkout_request(), BUYER, KEY)
    await gateway.initiate.begin(checkout_request(supersedes=mine.attempt_id), BUYER, None)

    with pytest.raises(AttemptNotFound):
        await gateway.initiate.begin(PEN, BUYER, KEY)

    assert gateway.attempts.at(ATTEMPT_ID) == theirs


async def test_a_bought_checkout_that_the_store_lost_is_not_replaced(gateway: Gateway) -> None:
    """The new attempt was stored before the old one was paid and lost: only orders knows the purchase."""
    old = gateway.stored_attempt()
    gateway.wire.fail("attempts.close", Crash())
    with pytest.raises(Crash):
        await gateway.initiate.begin(PEN, BUYER, KEY)
    gateway.wire.heal()
    await gateway.fulfil(gateway.intents.pay(old.intent))
    gateway.attempts.lose(ATTEMPT_ID)

    with pytest.raises(AlreadyPaid):
        await gateway.initiate.begin(PEN, BUYER, KEY)

    assert payable(gateway) == []


async def test_a_superseding_checkout_that_was_superseded_is_not_released_again(gateway: Gateway) -> None:
    """Its retry is told so."""
    gateway.stored_attempt()
    second = await gateway.initiate.begin(PEN, BUYER, KEY)
    third = await gateway.initiate.begin(checkout_request(supersedes=second.attempt_id), BUYER, None)

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(PEN, BUYER, KEY)

    assert payable(gateway) == [third.client_secret]


@dataclass(frozen=True)
class Tab:
    """A page that still shows the first checkout, and replaces it."""

    begins_after: int
    """Steps of the event loop."""
    is_keyed: bool
    is_killed_after: int | None
    """Steps after which the gateway that answers it is killed."""
    retries: bool
    pays_after: int | None
    """Steps after which its buyer pays, if the page has got a secret."""
    payment: tuple[IntentStatus, ...]
    """Statuses that the payment goes through."""


STEPS = st.integers(0, 60)
PAYMENTS = st.sampled_from(
    [
        (IntentStatus.SUCCEEDED,),
        (IntentStatus.PROCESSING, IntentStatus.SUCCEEDED),
        (IntentStatus.PROCESSING, IntentStatus.REQUIRES_PAYMENT_METHOD),
    ]
)
TABS = st.builds(
    Tab,
    begins_after=STEPS,
    is_keyed=st.booleans(),
    is_killed_after=st.none() | STEPS,
    retries=st.booleans(),
    pays_after=st.none() | STEPS,
    payment=PAYMENTS,
)


# Not shrunk, so that a failure ends soon.
@settings(max_examples=250, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
@given(
    first=TABS,
    tabs=st.lists(TABS, min_size=2, max_size=4),
    pauses=st.lists(st.integers(0, 12), min_size=1, max_size=30),
)
def test_p3_tabs_at_once_never_pay_twice(first: Tab, tabs: list[Tab], pauses: list[int]) -> None:
    """In any interleaving of their calls, with kills, retries and payments; afterwards the next request heals it."""
    asyncio.run(_race(first, tabs, pauses))


async def _race(first: Tab, tabs: list[Tab], pauses: list[int]) -> None:
    async with Gateway(wire=SlowWire(cycle(pauses))).opened() as gateway:
        race = Race(gateway)
        gateway.stored_attempt()
        [secret] = payable(gateway)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(race.pay(secret, first))
            for number, tab in enumerate(tabs):
                tasks.create_task(race.use(tab, number))
        await race.heal()


class Race:
    """Tabs of one buyer, who pays whatever can be paid."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._released = set(payable(gateway))

    async def use(self, tab: Tab, number: int) -> None:
        """Begin, be killed, begin again, and pay."""
        await pause(tab.begins_after)
        key = f"0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d6{number // 2}" if tab.is_keyed else None
        beginning = asyncio.create_task(self._begin(key))
        if tab.is_killed_after is not None:
            await pause(tab.is_killed_after)
            beginning.cancel()
        with suppress(asyncio.CancelledError):
            await self.pay(await beginning, tab)
        if tab.retries:
            await self.pay(await self._begin(key), tab)

    async def _begin(self, key: str | None) -> str | None:
        try:
            checkout = await self._gateway.initiate.begin(PEN, BUYER, key)
        except (AlreadyPaid, AttemptClosed, PaymentProcessing):
            return None
        return checkout.client_secret

    async def pay(self, secret: str | None, tab: Tab) -> None:
        """Pay with a secret if it is payable by then. Only one payment may ever be possible."""
        if secret is None:
            return
        self._released.add(secret)
        await pause(tab.pays_after or 0)
        [intent] = [each for each in self._gateway.intents.all() if each.client_secret == secret]
        if tab.pays_after is not None and intent.is_payable:
            amount = self._gateway.intents.params_of(intent.ref).amount
            for status in tab.payment:
                self._gateway.intents.change(intent.ref, status=status, received=amount)
                await pause(tab.pays_after)
        self._assert_one_at_most()

    def _assert_one_at_most(self) -> None:
        intents = [each for each in self._gateway.intents.all() if each.client_secret in self._released]
        assert [each for each in intents if each.status is IntentStatus.SUCCEEDED][1:] == []

    async def heal(self) -> None:
        """Begin once more: that leaves one purchase, or one payable checkout."""
        last = await self._begin(None)
        paid = [each for each in self._gateway.intents.all() if each.status is IntentStatus.SUCCEEDED]
        released = {str(last), *self._released}
        assert [secret for secret in payable(self._gateway) if secret in released] == ([last] if last else [])
        assert len(paid) == (1 if last is None else 0)
        assert len(self._gateway.orders.purchases()) == len(paid)
