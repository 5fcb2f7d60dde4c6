import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef, Interval, LineItem, Recurring
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import PaymentReport, Purchase, ReportChannel
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus

from ..assembly import Gateway
from ..billing_samples import CLUB, CLUB_CONTEXT, subscription_json
from ..http_edge import deliver, get, post, token_for
from ..samples import ATTEMPT_ID, attempt

ADA = token_for("user_ada")
ALMANAC = LineItem("price_almanac", "prod_almanac", "Almanac", 1, Money(9000, "usd"), Recurring(Interval.YEAR, 1, 0))


def set_up(gateway: Gateway, *lines: LineItem, user_id: str | None = None, number: int = 1) -> StripeIntent:
    """Let a buyer set a payment method up for subscriptions; the attempt is stored."""
    attempt_id = f"{ATTEMPT_ID[:-2]}{number:02}"
    ref = IntentRef(f"seti_{number}", IntentKind.SETUP)
    gateway.attempts.put(
        replace(
            attempt(ref, attempt_id=attempt_id),
            context=replace(CLUB_CONTEXT, user_id=user_id, items=lines or CLUB_CONTEXT.items),
        )
    )
    return StripeIntent(
        ref=ref,
        status=IntentStatus.SUCCEEDED,
        attempt_id=attempt_id,
        received=None,
        livemode=False,
        client_secret=f"{ref.id}_secret_hush",
        payment_method_id="pm_1",
    )


async def subscribed(gateway: Gateway, *lines: LineItem, user_id: str | None = None, number: int = 1) -> Subscription:
    """Let a buyer subscribe; return the first subscription."""
    paid = set_up(gateway, *lines, user_id=user_id, number=number)
    decision = await gateway.fulfilment.fulfil(paid, PaymentReport(ReportChannel.WEBHOOK, "evt_1"))
    assert isinstance(decision, Purchase)
    return decision.subscriptions[0]


async def incomplete(gateway: Gateway, user_id: str | None = None) -> Subscription:
    """Let a buyer subscribe whose first charge waits for the buyer."""
    row = await subscribed(gateway, user_id=user_id)
    gateway.fake_billing.leave_open("sub_1")
    return await gateway.sync.apply_snapshot(row, gateway.fake_billing.created["sub_1"], gateway.billing)


def setup_event(intent: StripeIntent) -> bytes:
    """Return the body of Stripe's event for a setup intent that succeeded."""
    shown = {
        "object": "setup_intent",
        "id": intent.ref.id,
        "status": "succeeded",
        "metadata": {"checkoutAttemptId": intent.attempt_id},
        "livemode": False,
        "client_secret": intent.client_secret,
        "payment_method": intent.payment_method_id,
    }
    event = {"id": "evt_1", "object": "event", "type": "setup_intent.succeeded", "data": {"object": shown}}
    return json.dumps(event).encode()


def subscription_event(kind: str, shown: dict[str, Any]) -> bytes:
    """Return the body of an event about a subscription or an invoice."""
    return json.dumps({"id": "evt_2", "object": "event", "type": kind, "data": {"object": shown}}).encode()


async def test_a_setup_intent_that_succeeded_begins_the_subscription(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """The webhook is acknowledged once Stripe has it."""
    answer = await deliver(http, gateway, setup_event(set_up(gateway)))

    [row] = gateway.subscriptions.rows.values()
    assert answer.status == 200
    assert (row.status, row.stripe_subscription_id, row.payment_method_id) == (
        SubscriptionStatus.ACTIVE,
        "sub_1",
        "pm_1",
    )


async def test_a_webhook_is_acknowledged_only_once_nothing_is_pending(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """The purchase is recorded, and Stripe is away: 503 until the subscription is settled as well."""
    body = setup_event(set_up(gateway))
    gateway.wire.fail("billing.create", StripeUnavailable())
    first = await deliver(http, gateway, body)
    gateway.wire.heal()

    second = await deliver(http, gateway, body)

    assert (first.status, second.status) == (503, 200)
    assert [row.status for row in gateway.subscriptions.rows.values()] == [SubscriptionStatus.ACTIVE]


async def test_a_refused_activation_is_acknowledged(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """To be told again would not help; the buyer and the operator see it."""
    gateway.fake_billing.refusals["price_club"] = "resource_missing"

    answer = await deliver(http, gateway, setup_event(set_up(gateway)))

    status = await get(http, f"/api/checkout/{ATTEMPT_ID[:-2]}01")
    assert answer.status == 200
    assert [each["status"] for each in status.json["purchase"]["subscriptions"]] == ["activation_failed"]


async def test_a_setup_intent_whose_attempt_is_gone_is_set_aside(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """As a payment would be."""
    paid = set_up(gateway)
    gateway.attempts.lose(str(paid.attempt_id))

    answer = await deliver(http, gateway, setup_event(paid))

    assert answer.status == 200
    assert [type(decision).__name__ for decision in gateway.orders.decisions.values()] == ["QuarantinedPayment"]


async def test_a_browser_that_is_back_is_shown_the_pending_subscription(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """200 and pending while Stripe is away; when the buyer looks again it is begun, webhook or not."""
    paid = set_up(gateway)
    gateway.intents.put(paid)
    body = {"checkoutAttemptId": paid.attempt_id, "setupIntentId": paid.ref.id}
    gateway.wire.fail("billing.create", StripeUnavailable())
    first = await post(http, "/api/orders", body)
    gateway.wire.heal()

    second = await post(http, "/api/orders", body)

    assert (first.status, second.status) == (200, 200)
    assert "order" not in {name for name, value in first.json.items() if value is not None}
    assert [answer.json["subscriptions"][0]["status"] for answer in (first, second)] == ["pending", "active"]


async def test_a_subscription_is_shown_to_its_owner(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """With what is charged, when and for what; no customer, no payment method, nothing personal (P7)."""
    row = await subscribed(gateway, user_id="user_ada")

    answer = await get(http, f"/api/subscriptions/{row.id}", Authorization=ADA)

    assert answer.status == 200
    assert {name: value for name, value in answer.json.items() if value is not None} == {
        "id": row.id,
        "status": "active",
        "checkoutAttemptId": row.checkout_attempt_id,
        "items": [
            {"priceId": "price_club", "productId": "prod_club", "name": "Club", "quantity": 2, "unitAmount": 900}
        ],
        "currency": "usd",
        "amount": 1800,
        "interval": "month",
        "intervalCount": 1,
        "currentPeriodEnd": "2030-01-31T12:00:00Z",
        "cancelAtPeriodEnd": False,
        "createdAt": "2030-01-01T12:00:00Z",
    }


@pytest.mark.parametrize("owner", ["user_bob", None])
@pytest.mark.parametrize("verb", ["read", "cancel"])
async def test_somebody_elses_subscription_is_not_found(
    http: aiohttp.ClientSession, gateway: Gateway, owner: str | None, verb: str
) -> None:
    """Neither another user's nor a guest's can be read or cancelled."""
    row = await subscribed(gateway, user_id=owner)
    path = f"/api/subscriptions/{row.id}"

    answer = (
        await get(http, path, Authorization=ADA)
        if verb == "read"
        else await post(http, f"{path}/cancel", {"mode": "now"}, Authorization=ADA)
    )

    assert (answer.status, answer.kind) == (404, "subscription_not_found")
    assert gateway.subscriptions.rows[row.id] == row


async def test_a_guest_has_no_list_of_subscriptions(http: aiohttp.ClientSession) -> None:
    """401: a token is required."""
    answers = [
        await get(http, "/api/subscriptions"),
        await get(http, f"/api/subscriptions/{ATTEMPT_ID}"),
        await post(http, f"/api/subscriptions/{ATTEMPT_ID}/cancel", {}),
    ]

    assert [(answer.status, answer.kind) for answer in answers] == [(401, "unauthenticated")] * 3


async def test_subscriptions_are_listed_newest_first_page_by_page(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Only one's own, each once."""
    rows = [await subscribed(gateway, user_id="user_ada", number=number) for number in range(1, 6)]
    await subscribed(gateway, user_id="user_bob", number=9)

    seen: list[str] = []
    path = "/api/subscriptions?limit=2"
    while path:
        page = (await get(http, path, Authorization=ADA)).json
        seen += [each["id"] for each in page["subscriptions"]]
        path = f"/api/subscriptions?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""

    assert seen == [row.id for row in reversed(rows)]


async def test_a_cursor_that_was_not_given_out_is_named(http: aiohttp.ClientSession) -> None:
    """422."""
    answer = await get(http, "/api/subscriptions?cursor=made-up", Authorization=ADA)

    assert (answer.status, answer.fields) == (422, ["cursor"])


async def test_the_owner_is_given_the_open_first_payment(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """While it can be finished, asked for each time; in no list."""
    row = await incomplete(gateway, "user_ada")

    one = await get(http, f"/api/subscriptions/{row.id}", Authorization=ADA)
    listed = await get(http, "/api/subscriptions", Authorization=ADA)

    assert one.headers["Cache-Control"] == "no-store"
    assert (one.json["status"], one.json["payment"]) == ("incomplete", {"clientSecret": "in_1_secret_hush"})
    assert listed.json["subscriptions"][0]["payment"] is None


async def test_a_guest_is_given_the_open_first_payment_by_attempt_id(
    http: aiohttp.ClientSession, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt's id is the guest's capability; the secret is in no log."""
    row = await incomplete(gateway)

    answer = await get(http, f"/api/checkout/{row.checkout_attempt_id}")

    [shown] = answer.json["purchase"]["subscriptions"]
    assert (answer.json["status"], shown["payment"]) == ("completed", {"clientSecret": "in_1_secret_hush"})
    assert "hush" not in caplog.text


async def test_a_users_open_first_payment_is_not_given_to_a_guest(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Whoever holds the attempt's id of somebody who is signed in is told nothing."""
    row = await incomplete(gateway, "user_ada")

    answer = await get(http, f"/api/checkout/{row.checkout_attempt_id}")

    assert (answer.status, "hush" in answer.text) == (404, False)


async def test_without_stripe_the_purchase_is_shown_without_the_payment(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Nothing can be paid while Stripe is away, and what was bought is known all the same."""
    row = await incomplete(gateway)
    gateway.wire.fail("billing.retrieve", StripeUnavailable())

    answer = await get(http, f"/api/checkout/{row.checkout_attempt_id}")

    [shown] = answer.json["purchase"]["subscriptions"]
    assert (answer.status, shown["status"], shown["payment"]) == (200, "incomplete", None)


async def test_a_first_payment_that_is_over_is_not_offered(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """What is recorded is older than what Stripe shows: nobody is asked to pay what is paid."""
    row = await incomplete(gateway)
    gateway.fake_billing.change("sub_1", status=SubscriptionStatus.ACTIVE)

    answer = await get(http, f"/api/checkout/{row.checkout_attempt_id}")

    assert answer.json["purchase"]["subscriptions"][0]["payment"] is None


async def cancel(http: aiohttp.ClientSession, row: Subscription, **body: str) -> Any:
    """Ask for a subscription's end as its owner."""
    return await post(http, f"/api/subscriptions/{row.id}/cancel", body, Authorization=ADA)


async def test_a_subscription_ends_with_its_period_unless_told_otherwise(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """And can be let go on until then."""
    row = await subscribed(gateway, user_id="user_ada")

    ends = await cancel(http, row)
    goes_on = await cancel(http, row, mode="undo")

    assert (ends.status, ends.json["status"], ends.json["cancelAtPeriodEnd"]) == (200, "active", True)
    assert (goes_on.status, goes_on.json["cancelAtPeriodEnd"]) == (200, False)
    assert gateway.fake_billing.created["sub_1"].state.cancel_at_period_end is False


async def test_a_subscription_ends_now_on_request(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """And once ended it stays so: ending it again changes nothing, and nothing brings it back."""
    row = await subscribed(gateway, user_id="user_ada")

    ended = await cancel(http, row, mode="now")
    again = [await cancel(http, row, mode=mode) for mode in ("now", "at_period_end")]
    undone = await cancel(http, row, mode="undo")

    assert (ended.status, ended.json["status"]) == (200, "canceled")
    assert [answer.json for answer in again] == [ended.json] * 2
    assert (undone.status, undone.kind) == (409, "subscription_ended")
    assert gateway.wire.calls.count("billing.cancel_now") == 1


@pytest.mark.parametrize(("mode", "status"), [("at_period_end", 200), ("now", 200), ("undo", 409)])
async def test_one_that_ended_at_stripe_meanwhile(
    http: aiohttp.ClientSession, gateway: Gateway, mode: str, status: int
) -> None:
    """The row follows, whatever was wished."""
    row = await subscribed(gateway, user_id="user_ada")
    gateway.fake_billing.change("sub_1", status=SubscriptionStatus.CANCELED)

    answer = await cancel(http, row, mode=mode)

    assert answer.status == status
    assert gateway.subscriptions.rows[row.id].status is SubscriptionStatus.CANCELED


@pytest.mark.parametrize("mode", ["at_period_end", "now", "undo"])
async def test_what_has_not_begun_cannot_be_cancelled(http: aiohttp.ClientSession, gateway: Gateway, mode: str) -> None:
    """Stripe does not know it yet: 409, and the buyer may try again soon."""
    gateway.wire.fail("billing.create", StripeUnavailable())
    with pytest.raises(StripeUnavailable):
        await subscribed(gateway, user_id="user_ada")
    gateway.wire.heal()
    [row] = gateway.subscriptions.rows.values()

    answer = await cancel(http, row, mode=mode)

    assert (answer.status, answer.kind) == (409, "subscription_not_active_yet")


async def test_another_way_to_end_is_named(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """422; nothing happens."""
    row = await subscribed(gateway, user_id="user_ada")

    answer = await cancel(http, row, mode="tomorrow")

    assert (answer.status, answer.fields) == (422, ["mode"])


async def test_a_mixed_purchase_shows_order_and_subscriptions(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """In the order of the cart, one for each billing interval."""
    await subscribed(gateway, CLUB, ALMANAC)

    answer = await get(http, f"/api/checkout/{ATTEMPT_ID[:-2]}01")

    shown = answer.json["purchase"]["subscriptions"]
    assert [(each["interval"], each["amount"]) for each in shown] == [("month", 1800), ("year", 9000)]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("customer.subscription.updated", subscription_json(status="active", latest_invoice="in_1")),
        (
            "invoice.payment_failed",
            {
                "id": "in_1",
                "livemode": False,
                "parent": {"subscription_details": {"subscription": "sub_1", "metadata": None}},
            },
        ),
    ],
)
async def test_an_event_is_only_a_hint(
    http: aiohttp.ClientSession, gateway: Gateway, kind: str, shown: dict[str, Any]
) -> None:
    """What the event shows is not believed: Stripe is asked, and has ended the subscription."""
    row = await subscribed(gateway)
    gateway.fake_billing.change("sub_1", status=SubscriptionStatus.CANCELED)

    answer = await deliver(http, gateway, subscription_event(kind, shown))

    assert answer.status == 200
    assert gateway.subscriptions.rows[row.id].status is SubscriptionStatus.CANCELED


async def test_an_invoice_of_no_subscription_is_acknowledged(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Somebody else's invoices are made on the same Stripe account."""
    answer = await deliver(
        http, gateway, subscription_event("invoice.paid", {"id": "in_9", "livemode": False, "parent": None})
    )

    assert (answer.status, gateway.wire.calls) == (200, [])


async def test_an_event_that_could_not_be_followed_comes_again(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """503 while Stripe does not show the subscription."""
    row = await subscribed(gateway)
    gateway.wire.fail("billing.retrieve", StripeUnavailable())
    shown = {"id": row.stripe_subscription_id, "metadata": {"subscriptionId": row.id}, "livemode": False}

    answer = await deliver(http, gateway, subscription_event("customer.subscription.deleted", shown))

    assert answer.status == 503
