"""Subscriptions whose charge waits for the buyer, or that could not begin."""

import aiohttp
import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import SubscriptionStatus

from ..assembly import Gateway
from ..billing_samples import CLUB
from ..http_edge import get, post, token_for
from ..subscribers import ALMANAC, subscribed, unpaid

ADA = token_for("user_ada")


async def test_the_owner_gets_the_secret_of_an_open_first_charge(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """On demand, in no list; nobody gets it by the attempt id of a user."""
    subscription = await unpaid(gateway, "user_ada")

    one = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)
    listed = await get(http, "/api/subscriptions", Authorization=ADA)
    guest = await get(http, f"/api/checkout/{subscription.checkout_attempt_id}")

    assert one.headers["Cache-Control"] == "no-store"
    assert (one.json["status"], one.json["payment"]) == ("incomplete", {"clientSecret": "pi_of_sub_1_secret_hush"})
    assert listed.json["subscriptions"][0]["payment"] is None
    assert (guest.status, "hush" in guest.text) == (404, False)


async def test_a_guest_gets_the_secret_of_an_open_first_charge_by_attempt_id(
    http: aiohttp.ClientSession, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt's id is the guest's capability; without Stripe the purchase is shown without a payment."""
    subscription = await unpaid(gateway)
    path = f"/api/checkout/{subscription.checkout_attempt_id}"

    found = await get(http, path)
    gateway.wire.fail("billing.retrieve", StripeUnavailable())
    without_stripe = await get(http, path)

    assert [answer.json["status"] for answer in (found, without_stripe)] == ["completed", "completed"]
    payments = [answer.json["purchase"]["subscriptions"][0]["payment"] for answer in (found, without_stripe)]
    assert payments == [{"clientSecret": "pi_of_sub_1_secret_hush"}, None]
    assert "hush" not in caplog.text


@pytest.mark.parametrize("payment", ["requires_payment_method", "requires_confirmation", "requires_action"])
async def test_the_open_invoice_of_a_renewal_is_offered(
    http: aiohttp.ClientSession, gateway: Gateway, payment: str
) -> None:
    """The card was declined or asks for the buyer: a payment ends past_due."""
    subscription = await unpaid(gateway, "user_ada", SubscriptionStatus.PAST_DUE, IntentStatus(payment))

    answer = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)

    assert (answer.json["status"], answer.json["payment"]) == ("past_due", {"clientSecret": "pi_of_sub_1_secret_hush"})


@pytest.mark.parametrize("payment", ["processing", "succeeded", "canceled", "requires_capture", "of_a_later_version"])
@pytest.mark.parametrize("status", ["incomplete", "past_due"])
async def test_a_payment_that_the_buyer_cannot_make_now_is_not_offered(
    http: aiohttp.ClientSession, gateway: Gateway, status: str, payment: str
) -> None:
    """A bank debit is open for days while it is processing: nobody is asked to pay twice."""
    subscription = await unpaid(gateway, "user_ada", SubscriptionStatus(status), IntentStatus(payment))

    answer = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)

    assert (answer.json["status"], answer.json["payment"]) == (status, None)


@pytest.mark.parametrize("payment", ["processing", "succeeded", "requires_capture", "of_a_later_version"])
@pytest.mark.parametrize(
    ("status", "mode"), [("incomplete", "now"), ("incomplete", "at_period_end"), ("past_due", "now")]
)
async def test_one_whose_payment_is_at_the_bank_does_not_end_at_once(
    http: aiohttp.ClientSession, gateway: Gateway, status: str, mode: str, payment: str
) -> None:
    """The end would not stop it: 409 until it has arrived or failed. Stripe lets an incomplete one not end later."""
    subscription = await unpaid(gateway, "user_ada", SubscriptionStatus(status), IntentStatus(payment))

    answer = await post(http, f"/api/subscriptions/{subscription.id}/cancel", {"mode": mode}, Authorization=ADA)

    assert (answer.status, answer.kind) == (409, "payment_processing")
    assert answer.json["checkoutAttemptId"] == subscription.checkout_attempt_id
    assert gateway.subscriptions.by_id[subscription.id] == subscription
    assert "billing.cancel_now" not in gateway.wire.calls


async def test_one_whose_renewal_is_at_the_bank_ends_with_its_period(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """It is that period which is being paid."""
    subscription = await unpaid(gateway, "user_ada", SubscriptionStatus.PAST_DUE, IntentStatus.PROCESSING)

    answer = await post(http, f"/api/subscriptions/{subscription.id}/cancel", {}, Authorization=ADA)

    assert (answer.status, answer.json["cancelAtPeriodEnd"]) == (200, True)


@pytest.mark.parametrize(("payment", "reports"), [("processing", 1), ("succeeded", 1), ("canceled", 0)])
@pytest.mark.parametrize("mode", ["at_period_end", "now"])
async def test_a_payment_that_begins_during_the_cancel_is_reported(
    http: aiohttp.ClientSession,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    payment: str,
    reports: int,
) -> None:
    """A person gives it back; Stripe cancels the intent of an invoice that it voids."""
    subscription = await unpaid(gateway, "user_ada")

    async def pay() -> None:
        gateway.intents.change(IntentRef("pi_of_sub_1", IntentKind.PAYMENT), status=IntentStatus(payment))

    gateway.wire.meanwhile("billing.cancel_now", pay)
    answer = await post(http, f"/api/subscriptions/{subscription.id}/cancel", {"mode": mode}, Authorization=ADA)

    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert len([each for each in caplog.records if "was charged" in each.message]) == reports


@pytest.mark.parametrize("status", ["unpaid", "paused"])
async def test_the_open_invoice_of_one_that_a_failed_renewal_has_stopped_is_offered(
    http: aiohttp.ClientSession, gateway: Gateway, status: str
) -> None:
    """Stripe's retries are over, or it pauses after a failure; the payment of the latest invoice lets it go on."""
    subscription = await unpaid(gateway, "user_ada", SubscriptionStatus(status))

    answer = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)

    assert (answer.json["status"], answer.json["payment"]) == (status, {"clientSecret": "pi_of_sub_1_secret_hush"})


async def test_a_first_payment_that_is_over_is_not_offered(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Stripe's state is newer than the record: nobody is asked to pay twice."""
    subscription = await unpaid(gateway)
    gateway.fake_billing.change("sub_1", status=SubscriptionStatus.ACTIVE)

    answer = await get(http, f"/api/checkout/{subscription.checkout_attempt_id}")

    assert answer.json["purchase"]["subscriptions"][0]["payment"] is None


async def test_a_checkout_tells_that_a_subscription_needs_attention(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Stripe refused to create them; the browser that returns is told too, until a person lets them begin again."""
    gateway.wire.fail("billing.create", SubscriptionRefused("resource_missing"))
    failed = await subscribed(gateway, CLUB, ALMANAC)
    gateway.wire.heal()
    path = f"/api/checkout/{failed.checkout_attempt_id}"
    return_ = {"checkoutAttemptId": failed.checkout_attempt_id, "setupIntentId": "seti_1"}

    told = [(await get(http, path)).json["purchase"], (await post(http, "/api/orders", return_)).json]
    for each in list(gateway.subscriptions.by_id):
        gateway.subscriptions.retry_activation(each)
    gateway.clock.advance(601)
    await post(http, "/api/orders", return_)
    mended = (await get(http, path)).json["purchase"]

    assert [each["needsAttention"] for each in told] == [True, True]
    assert {each["activationFailure"] for each in told[0]["subscriptions"]} == {"resource_missing"}
    assert (mended["needsAttention"], {each["status"] for each in mended["subscriptions"]}) == (False, {"active"})
