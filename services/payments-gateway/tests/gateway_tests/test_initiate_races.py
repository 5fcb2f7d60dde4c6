import asyncio
from dataclasses import replace

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.initiate import Checkout
from payments_gateway.domain.attempts import AttemptClosed, CloseReason, RequestHashMismatch
from payments_gateway.domain.errors import AlreadyPaid
from payments_gateway.domain.purchases import PaymentReport, ReportChannel
from payments_gateway.domain.stripe_errors import StripeUnavailable

from .assembly import Gateway
from .samples import checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
ASKED = checkout_request()


async def test_p2_twelve_equal_requests_at_once_are_one_checkout(gateway: Gateway) -> None:
    """All are answered the same secret, of the one intent that is stored."""
    checkouts = await asyncio.gather(*(gateway.initiate.begin(ASKED, GUEST, KEY) for _ in range(12)))

    [stored] = gateway.attempts.stored()
    [intent] = gateway.intents.all()
    assert gateway.wire.calls[:12] == ["attempts.find"] * 12
    assert {checkout.client_secret for checkout in checkouts} == {intent.client_secret}
    assert {checkout.attempt_id for checkout in checkouts} == {stored.attempt_id}
    assert stored.intent == intent.ref
    assert intent.is_payable


async def test_of_two_contents_at_once_one_wins_and_its_intent_stays_payable(gateway: Gateway) -> None:
    """Equal sums make Stripe answer both with one intent: the loser must not cancel it."""
    other = replace(ASKED, request_hash=b"another request of the same sum.")

    won, lost = await asyncio.gather(
        gateway.initiate.begin(ASKED, GUEST, KEY), gateway.initiate.begin(other, GUEST, KEY), return_exceptions=True
    )

    [intent] = gateway.intents.all()
    assert isinstance(won, Checkout)
    assert isinstance(lost, RequestHashMismatch)
    assert won.client_secret == intent.client_secret
    assert intent.is_payable
    assert "intents.cancel" not in gateway.wire.calls


async def test_of_two_sums_at_once_only_one_makes_an_intent(gateway: Gateway) -> None:
    """The loser's key at Stripe is the winner's: it makes nothing that could be paid besides."""
    other = checkout_request(("price_pen", 1))

    won, lost = await asyncio.gather(
        gateway.initiate.begin(ASKED, GUEST, KEY), gateway.initiate.begin(other, GUEST, KEY), return_exceptions=True
    )

    [stored] = gateway.attempts.stored()
    [intent] = gateway.intents.all()
    assert isinstance(won, Checkout)
    assert isinstance(lost, RequestHashMismatch)
    assert stored.intent == intent.ref
    assert intent.is_payable


async def test_a_loser_with_the_same_content_is_given_the_winners_checkout(gateway: Gateway) -> None:
    """A spent key gives two equal requests two intents: the store picks one, the other is cancelled."""

    async def winner_begins() -> None:
        gateway.intents.spend(gateway.ids.derive(GUEST, KEY), 0)
        winners.append(await gateway.initiate.begin(ASKED, GUEST, KEY))

    winners: list[Checkout] = []
    gateway.wire.meanwhile("attempts.save", winner_begins)

    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    lost, won = gateway.intents.all()
    assert [checkout] == winners
    assert checkout.client_secret == won.client_secret
    assert (lost.status.value, won.status.value) == ("canceled", "requires_payment_method")


async def test_a_losers_intent_that_cannot_be_cancelled_is_no_harm(gateway: Gateway) -> None:
    """Nobody has its secret, so the answer does not depend on Stripe taking the cancel."""

    async def winner_begins() -> None:
        gateway.intents.spend(gateway.ids.derive(GUEST, KEY), 0)
        gateway.wire.fail("intents.cancel", StripeUnavailable())
        winners.append(await gateway.initiate.begin(ASKED, GUEST, KEY))

    winners: list[Checkout] = []
    gateway.wire.meanwhile("attempts.save", winner_begins)

    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert [checkout] == winners
    assert "intents.cancel" in gateway.wire.calls


async def test_an_attempt_closed_before_it_is_stored_gets_no_secret_out(gateway: Gateway) -> None:
    """Superseding an initiate in flight stops it at the save, and its intent is cancelled."""
    attempt_id = gateway.ids.derive(GUEST, KEY)
    gateway.wire.meanwhile("attempts.save", lambda: gateway.attempts.close(attempt_id, CloseReason.SUPERSEDED))

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    [intent] = gateway.intents.all()
    assert intent.status.value == "canceled"


async def test_a_retry_overtaken_by_the_payment_says_that_it_is_paid(gateway: Gateway) -> None:
    """Begun, paid and recorded while the retry was on its way: the buyer is told so, not asked to begin anew."""

    async def begun_paid_and_recorded() -> None:
        await gateway.initiate.begin(ASKED, GUEST, KEY)
        [stored] = gateway.attempts.stored()
        await gateway.fulfilment.fulfil(
            gateway.intents.pay(stored.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1")
        )

    gateway.wire.meanwhile("attempts.save", begun_paid_and_recorded)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert [intent.status.value for intent in gateway.intents.all()] == ["succeeded"]


async def test_replacing_an_attempt_while_it_is_retried_leaves_one_payable_intent(gateway: Gateway) -> None:
    """However the two interleave, the old intent ends cancelled and only the new one can be paid."""
    first = await gateway.initiate.begin(ASKED, GUEST, KEY)
    changed = checkout_request(("price_pen", 1), supersedes=first.attempt_id)

    _, second = await asyncio.gather(
        gateway.initiate.begin(ASKED, GUEST, KEY), gateway.initiate.begin(changed, GUEST, None), return_exceptions=True
    )

    [stored] = gateway.attempts.stored()
    assert isinstance(second, Checkout)
    assert stored.attempt_id == second.attempt_id
    assert [intent.ref for intent in gateway.intents.all() if intent.is_payable] == [stored.intent]
