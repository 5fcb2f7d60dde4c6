from dataclasses import replace
from datetime import timedelta

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.catalogue_cache import CatalogueUnavailable
from payments_gateway.checkout.initiate import Checkout
from payments_gateway.domain.attempts import Attempt, AttemptClosed, CloseReason, DeleteReason, RequestHashMismatch
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import PaymentReport, ReportChannel
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.grpc_client import ServiceUnavailable
from servicekit.violations import InvalidRequest

from .assembly import PAY_BY, Gateway
from .samples import ADA, LONDON, checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BUYER = Caller("user_ada")
ASKED = checkout_request()


def stored_for(gateway: Gateway, checkout: Checkout) -> Attempt:
    """Show the attempt of a checkout."""
    attempt = gateway.attempts.at(checkout.attempt_id)
    assert isinstance(attempt, Attempt)
    return attempt


async def test_p2_the_secret_is_released_after_the_attempt_is_stored_with_its_intent(gateway: Gateway) -> None:
    """The intent is made first, then stored with the attempt; the answer comes last."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, None)

    [intent] = gateway.intents.all()
    assert gateway.wire.calls == ["intents.create", "attempts.save"]
    assert stored_for(gateway, checkout).intent == intent.ref
    assert checkout.client_secret == intent.client_secret
    assert intent.attempt_id == checkout.attempt_id


@pytest.mark.parametrize("after_effect", [False, True], ids=["not stored", "stored, but the answer was lost"])
async def test_p2_a_store_that_does_not_answer_keeps_the_secret_in(gateway: Gateway, after_effect: bool) -> None:  # noqa: FBT001 — a case
    """Without the store's word no secret leaves, whatever the store may have done."""
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"), after_effect=after_effect)

    with pytest.raises(ServiceUnavailable):
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    gateway.wire.heal()
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    [intent] = gateway.intents.all()
    assert stored_for(gateway, checkout).intent == intent.ref


async def test_p2_an_attempt_that_was_found_is_saved_again_before_its_secret_leaves(gateway: Gateway) -> None:
    """A save that failed may have left the attempt where a crash would lose it: found is not yet kept."""
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"), after_effect=True)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await gateway.initiate.begin(ASKED, GUEST, KEY)
    [stored] = gateway.attempts.stored()

    gateway.wire.heal()

    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    assert checkout.attempt_id == stored.attempt_id


async def test_an_attempt_closed_while_it_is_saved_again_is_not_released(gateway: Gateway) -> None:
    """The close wins, and the repeat is told so."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    async def close() -> None:
        await gateway.attempts.close(checkout.attempt_id, CloseReason.SUPERSEDED)

    gateway.wire.meanwhile("attempts.save", close)

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)


async def test_p6_price_and_user_come_from_the_catalogue_and_the_token(gateway: Gateway) -> None:
    """What is stored and charged is the catalogue's price, for the token's user, to be paid within the time set."""
    request = checkout_request(("price_mug", 2), ("price_pen", 1))

    checkout = await gateway.initiate.begin(request, BUYER, None)

    context = stored_for(gateway, checkout).context
    assert (context.user_id, context.contact, context.shipping_address) == ("user_ada", ADA, LONDON)
    assert context.total == checkout.amount == Money(2800, "usd")
    assert context.pay_by == checkout.pay_by == gateway.clock.now() + PAY_BY
    assert stored_for(gateway, checkout).request_hash == request.request_hash


async def test_a_cart_that_cannot_be_sold_leaves_no_trace(gateway: Gateway) -> None:
    """No intent is made, nothing is stored, and the attempt to be replaced stays as it was."""
    old = gateway.stored_attempt()
    request = checkout_request(("price_gone", 1), supersedes=old.attempt_id)

    with pytest.raises(InvalidRequest):
        await gateway.initiate.begin(request, GUEST, None)

    assert gateway.wire.calls == []
    assert gateway.attempts.stored() == [old]


async def test_a_price_made_just_now_is_looked_up(gateway: Gateway) -> None:
    """A price that the book does not know yet is read from Stripe before the cart is refused."""
    known = gateway.source.catalogue
    fresh = replace(known.prices["price_mug"], id="price_new")
    gateway.source.catalogue = replace(known, prices={**known.prices, "price_new": fresh})
    gateway.clock.advance(3)

    checkout = await gateway.initiate.begin(checkout_request(("price_new", 1)), GUEST, None)

    assert checkout.amount == Money(1250, "usd")


async def test_without_recent_prices_nothing_is_sold(gateway: Gateway) -> None:
    """Prices that could not be refreshed for too long are not sold by."""
    gateway.clock.advance(7201)

    with pytest.raises(CatalogueUnavailable):
        await gateway.initiate.begin(ASKED, GUEST, None)

    assert gateway.intents.all() == []


async def test_requests_without_a_key_are_two_checkouts(gateway: Gateway) -> None:
    """Nothing ties two requests together but a key."""
    first = await gateway.initiate.begin(ASKED, GUEST, None)
    second = await gateway.initiate.begin(ASKED, GUEST, None)

    assert first.attempt_id != second.attempt_id
    assert len(gateway.intents.all()) == 2


async def test_a_retry_is_given_the_same_checkout(gateway: Gateway) -> None:
    """Same key and content: the stored attempt, its intent and its first pay-by, however late the retry."""
    first = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.clock.advance(3600)
    second = await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert second == first
    assert len(gateway.intents.all()) == 1
    assert gateway.wire.calls[-3:] == ["attempts.find", "attempts.save", "intents.retrieve"]


async def test_a_retry_keeps_the_price_of_the_first_time(gateway: Gateway) -> None:
    """The stored price wins even when the price is gone from the catalogue: the intent's amount is what it was."""
    first = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.source.catalogue = replace(gateway.source.catalogue, prices={})
    gateway.clock.advance(3)

    second = await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert second == first


async def test_a_key_with_other_content_is_refused(gateway: Gateway) -> None:
    """The first checkout stays as it was, with its intent payable; Stripe is not even asked."""
    first = await gateway.initiate.begin(ASKED, GUEST, KEY)

    with pytest.raises(RequestHashMismatch):
        await gateway.initiate.begin(checkout_request(("price_pen", 1)), GUEST, KEY)

    ref = stored_for(gateway, first).intent
    assert gateway.status_of(ref) == "requires_payment_method"
    assert gateway.wire.calls.count("intents.create") == 1


async def test_a_retry_of_a_paid_checkout_says_what_was_bought(gateway: Gateway) -> None:
    """After the webhook recorded it, the retry is answered with the purchase instead of a secret."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    paid = gateway.intents.pay(stored_for(gateway, checkout).intent)
    purchase = await gateway.fulfilment.fulfil(paid, PaymentReport(ReportChannel.WEBHOOK, "evt_1"))

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert refusal.value.purchase == purchase


async def test_a_retry_that_finds_the_intent_paid_records_the_purchase(gateway: Gateway) -> None:
    """The webhook may be late or lost: whoever sees the payment first fulfils it."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.intents.pay(stored_for(gateway, checkout).intent)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert [refusal.value.purchase] == gateway.orders.purchases()


async def test_a_retry_of_a_quarantined_checkout_has_no_purchase_to_show(gateway: Gateway) -> None:
    """It is paid nevertheless: the buyer must not pay again."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.intents.pay(stored_for(gateway, checkout).intent, Money(1, "usd"))

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert refusal.value.purchase is None


@pytest.mark.parametrize("status", [IntentStatus.PROCESSING, IntentStatus.REQUIRES_CAPTURE])
async def test_a_retry_while_the_payment_is_under_way_is_refused(gateway: Gateway, status: IntentStatus) -> None:
    """Paying again would pay twice."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.intents.turn(stored_for(gateway, checkout).intent, status)

    with pytest.raises(PaymentProcessing):
        await gateway.initiate.begin(ASKED, GUEST, KEY)


async def test_a_retry_of_a_closed_checkout_is_refused(gateway: Gateway) -> None:
    """A superseded attempt's secret is not released again, even though its intent is payable still."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    await gateway.attempts.close(checkout.attempt_id, CloseReason.SUPERSEDED)

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)


async def test_a_retry_of_a_given_up_checkout_is_refused(gateway: Gateway) -> None:
    """What was cancelled and deleted is not begun again under the same key."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    await gateway.attempts.delete(checkout.attempt_id, DeleteReason.CANCELLED)

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)


async def test_a_retry_after_pay_by_is_refused(gateway: Gateway) -> None:
    """From pay-by on the intent may be cancelled any moment."""
    await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.clock.advance(PAY_BY / timedelta(seconds=1))

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)


async def test_a_cancelled_intent_is_not_released_again(gateway: Gateway) -> None:
    """Stripe would answer the secret of a cancelled intent, but nobody can pay with it."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.intents.turn(stored_for(gateway, checkout).intent, IntentStatus.CANCELED)

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)


async def test_a_key_that_answers_a_cancelled_intent_is_left_behind(gateway: Gateway) -> None:
    """A crash before the save, then a cancel: the retry moves on to the next key and a payable intent."""
    gateway.wire.fail("attempts.save", ServiceUnavailable("checkout-session"))
    with pytest.raises(ServiceUnavailable):
        await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.wire.heal()
    [cancelled] = gateway.intents.all()
    gateway.intents.turn(cancelled.ref, IntentStatus.CANCELED)

    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    released = stored_for(gateway, checkout).intent
    assert released != cancelled.ref
    assert gateway.status_of(released) == "requires_payment_method"


async def test_a_spent_key_moves_to_the_next(gateway: Gateway) -> None:
    """A key that replays a failure would do so for ever; the next one is tried at once."""
    attempt_id = gateway.ids.derive(GUEST, KEY)
    gateway.intents.spend(attempt_id, 0)
    gateway.intents.spend(attempt_id, 1)

    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert gateway.wire.calls.count("intents.create") == 3
    assert gateway.status_of(stored_for(gateway, checkout).intent) == "requires_payment_method"


async def test_five_spent_keys_are_enough(gateway: Gateway) -> None:
    """The client is told to begin anew instead of Stripe being asked for ever; nothing is stored."""
    attempt_id = gateway.ids.derive(GUEST, KEY)
    for generation in range(5):
        gateway.intents.spend(attempt_id, generation)

    with pytest.raises(AttemptClosed):
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert gateway.wire.calls.count("intents.create") == 5
    assert gateway.attempts.stored() == []


async def test_while_stripe_fails_a_request_spends_two_keys_at_most(gateway: Gateway) -> None:
    """The buyer is told to come again, and keys are left for then: the next request goes on where this one ended."""
    attempt_id = gateway.ids.derive(GUEST, KEY)
    gateway.intents.spend(attempt_id, 0, just_now=True)
    gateway.intents.spend(attempt_id, 1, just_now=True)

    with pytest.raises(StripeUnavailable):
        await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.intents.spend(attempt_id, 0)
    gateway.intents.spend(attempt_id, 1)
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert checkout.attempt_id == attempt_id
    assert gateway.wire.calls.count("intents.create") == 2 + 3


async def test_a_bought_attempt_that_the_store_lost_is_not_begun_again(gateway: Gateway) -> None:
    """Even once Stripe has forgotten its key, whoever comes with it is told what was bought, and gets no secret."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    (stored,) = gateway.attempts.stored()
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1"))
    gateway.attempts.lose(checkout.attempt_id)
    gateway.intents.forget_keys()

    with pytest.raises(AlreadyPaid) as refused:
        await gateway.initiate.begin(checkout_request(("price_pen", 3)), GUEST, KEY)

    assert refused.value.purchase == gateway.orders.purchases()[0]
    assert gateway.attempts.stored() == []


async def test_a_lost_attempt_is_not_begun_again_with_another_cart(gateway: Gateway) -> None:
    """The first cart's secret may be in the buyer's hands: a second one could be paid besides."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.attempts.lose(checkout.attempt_id)

    with pytest.raises(RequestHashMismatch):
        await gateway.initiate.begin(checkout_request(("price_pen", 3)), GUEST, KEY)

    assert len(gateway.intents.all()) == 1


async def test_a_crash_between_intent_and_save_wastes_no_intent(gateway: Gateway) -> None:
    """The retry finds the same intent by its key at Stripe."""
    gateway.wire.fail("intents.create", StripeUnavailable(), after_effect=True)
    with pytest.raises(StripeUnavailable):
        await gateway.initiate.begin(ASKED, GUEST, KEY)
    gateway.wire.heal()

    await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert len(gateway.intents.all()) == 1


async def test_p3_a_retry_after_the_store_lost_everything_records_what_was_paid(gateway: Gateway) -> None:
    """The key at Stripe answers the paid intent: the content is stored anew and becomes the purchase."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, KEY)
    paid = gateway.intents.pay(stored_for(gateway, checkout).intent)
    gateway.attempts.lose(checkout.attempt_id)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.initiate.begin(ASKED, GUEST, KEY)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert gateway.orders.purchases()[0].intent_id == paid.ref.id
    assert gateway.attempts.stored() == []


async def test_a_changed_cart_replaces_the_old_attempt(gateway: Gateway) -> None:
    """The old intent is cancelled and forgotten before the new one is made."""
    first = await gateway.initiate.begin(ASKED, GUEST, None)
    old = stored_for(gateway, first).intent
    request = checkout_request(("price_pen", 1), supersedes=first.attempt_id)

    second = await gateway.initiate.begin(request, GUEST, None)

    assert gateway.status_of(old) == "canceled"
    assert gateway.wire.calls[-2:] == ["intents.create", "attempts.save"]
    assert [kept.attempt_id for kept in gateway.attempts.stored()] == [second.attempt_id]
    assert stored_for(gateway, second).context.supersedes == first.attempt_id


async def test_an_attempt_that_is_not_the_callers_is_not_replaced(gateway: Gateway) -> None:
    """Nothing is begun either: no intent, nothing stored but the other's attempt."""
    old = gateway.stored_attempt(user_id="user_bob")

    with pytest.raises(AttemptNotFound):
        await gateway.initiate.begin(checkout_request(supersedes=old.attempt_id), BUYER, None)

    assert gateway.attempts.stored() == [old]
    assert gateway.wire.calls == ["attempts.find"]


async def test_replacing_survives_a_crash_before_the_new_attempt_is_stored(gateway: Gateway) -> None:
    """The old attempt is gone by then; the retry begins the new one all the same."""
    first = await gateway.initiate.begin(ASKED, GUEST, None)
    request = checkout_request(("price_pen", 1), supersedes=first.attempt_id)
    gateway.wire.fail("intents.create", StripeUnavailable())
    with pytest.raises(StripeUnavailable):
        await gateway.initiate.begin(request, GUEST, KEY)
    gateway.wire.heal()

    second = await gateway.initiate.begin(request, GUEST, KEY)

    assert gateway.attempts.stored() == [stored_for(gateway, second)]


async def test_a_checkout_shows_no_secret(gateway: Gateway) -> None:
    """What may end in a log by its repr leaves the client secret out."""
    checkout = await gateway.initiate.begin(ASKED, GUEST, None)

    shown = repr(checkout) + repr(gateway.intents.all()) + repr(gateway.attempts.stored())
    assert "hush" in checkout.client_secret
    assert "hush" not in shown
