import asyncio
from dataclasses import replace

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.initiate import Checkout, CheckoutRequest
from payments_gateway.domain.attempts import AttemptClosed, CloseReason, RequestHashMismatch
from payments_gateway.domain.errors import AlreadyPaid
from payments_gateway.domain.stripe_errors import StripeUnavailable

from ..assembly import Gateway
from ..samples import checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
ASKED = checkout_request()
CLUB = checkout_request(("price_club", 1))
SAME_SUM = replace(ASKED, request_hash=b"another request of the same sum.")
ANOTHER_SUM = checkout_request(("price_pen", 1))


@pytest.mark.parametrize("asked", [ASKED, CLUB], ids=["one-time", "subscription"])
async def test_p2_twelve_equal_requests_at_once_are_one_checkout(gateway: Gateway, asked: CheckoutRequest) -> None:
    """All get the secret of the one intent that is stored."""
    checkouts = await asyncio.gather(*(gateway.initiate.begin(asked, GUEST, KEY) for _ in range(12)))

    [stored], [intent] = gateway.attempts.stored(), gateway.intents.all()
    assert gateway.wire.calls[:12] == [gateway.wire.calls[0]] * 12
    assert {checkout.client_secret for checkout in checkouts} == {intent.client_secret}
    assert {checkout.attempt_id for checkout in checkouts} == {stored.attempt_id}
    assert stored.intent == intent.ref
    assert intent.is_payable
    assert len(gateway.stripe_customers.emails) == (1 if asked is CLUB else 0)


@pytest.mark.parametrize("other", [SAME_SUM, ANOTHER_SUM], ids=["the same sum", "another sum"])
async def test_of_two_contents_at_once_one_wins_and_its_intent_stays_payable(
    gateway: Gateway, other: CheckoutRequest
) -> None:
    """The loser creates no second intent, and does not cancel the winner's, which equal sums share."""
    won, lost = await asyncio.gather(
        gateway.initiate.begin(ASKED, GUEST, KEY), gateway.initiate.begin(other, GUEST, KEY), return_exceptions=True
    )

    [stored], [intent] = gateway.attempts.stored(), gateway.intents.all()
    assert isinstance(won, Checkout)
    assert isinstance(lost, RequestHashMismatch)
    assert (stored.intent, won.client_secret) == (intent.ref, intent.client_secret)
    assert intent.is_payable
    assert "intents.cancel" not in gateway.wire.calls


@pytest.mark.parametrize("failure", [None, StripeUnavailable()], ids=["cancelled", "cancel fails"])
async def test_a_loser_with_the_same_content_is_given_the_winners_checkout(
    gateway: Gateway, failure: Exception | None
) -> None:
    """An exhausted key gives equal requests two intents. Nobody has the secret of the loser's, even if it stays."""
    winners: list[Checkout] = []

    async def winner_begins() -> None:
        gateway.intents.exhaust(gateway.ids.derive(GUEST, KEY), 0)
        if failure:
            gateway.wire.fail("intents.cancel", failure)
        winners.append(await gateway.initiate.begin(ASKED, GUEST, KEY))

    gateway.wire.meanwhile("attempts.save", winner_begins)

    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    lost, won = gateway.intents.all()
    assert [checkout] == winners
    assert checkout.client_secret == won.client_secret
    assert won.is_payable
    assert lost.is_payable == bool(failure)


async def test_an_attempt_closed_before_it_is_saved_releases_no_secret(gateway: Gateway) -> None:
    """Superseding a checkout in progress stops it at the save, and its intent is cancelled."""
    attempt_id = gateway.ids.derive(GUEST, KEY)
    gateway.wire.meanwhile("attempts.save", lambda: gateway.attempts.close(attempt_id, CloseReason.SUPERSEDED))

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    [intent] = gateway.intents.all()
    assert intent.status.value == "canceled"


async def test_a_retry_overtaken_by_the_payment_shows_the_purchase(gateway: Gateway) -> None:
    """The checkout was begun, paid and recorded before the retry's save."""

    async def begin_and_pay() -> None:
        await gateway.initiate.begin(ASKED, GUEST, KEY)
        [stored] = gateway.attempts.stored()
        await gateway.fulfil(gateway.intents.pay(stored.intent))

    gateway.wire.meanwhile("attempts.save", begin_and_pay)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert [intent.status.value for intent in gateway.intents.all()] == ["succeeded"]


async def test_replacing_an_attempt_while_it_is_retried_leaves_one_payable_intent(gateway: Gateway) -> None:
    """The old intent ends cancelled, and only the new one can be paid."""
    first = await gateway.initiate.begin(ASKED, GUEST, KEY)
    changed = checkout_request(("price_pen", 1), supersedes=first.attempt_id)

    _, second = await asyncio.gather(
        gateway.initiate.begin(ASKED, GUEST, KEY), gateway.initiate.begin(changed, GUEST, None), return_exceptions=True
    )

    [stored] = gateway.attempts.stored()
    assert isinstance(second, Checkout)
    assert stored.attempt_id == second.attempt_id
    assert [intent.ref for intent in gateway.intents.all() if intent.is_payable] == [stored.intent]
