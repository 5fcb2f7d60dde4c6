"""Routes of subscriptions, and the subscriptions of a checkout."""

import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import Interval
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import QuarantinedPayment, QuarantineReason
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import Discount, PauseCollection, Subscription, SubscriptionStatus

from ..assembly import CREATION_TAKES, Gateway
from ..billing_samples import CLUB, subscription_json
from ..http_edge import PORTAL_URL, Answer, deliver, get, post, token_for
from ..samples import attempt_id_of
from ..subscribers import ALMANAC, set_up, setup_event, subscribed, unpaid

ADA = token_for("user_ada")


def subscription_event(kind: str, shown: dict[str, Any]) -> bytes:
    """Return the body of an event about a subscription or an invoice."""
    return json.dumps(
        {"id": "evt_2", "object": "event", "type": kind, "created": 1_900_000_000, "data": {"object": shown}}
    ).encode()


async def cancel(http: aiohttp.ClientSession, subscription: Subscription, **body: str) -> Answer:
    """End a subscription as its owner."""
    return await post(http, f"/api/subscriptions/{subscription.id}/cancel", body, Authorization=ADA)


async def test_a_webhook_is_acknowledged_only_once_nothing_is_pending(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """503 while the purchase is recorded and Stripe is away, 200 once the subscription is created as well."""
    body = setup_event(set_up(gateway))
    gateway.wire.fail("billing.create", StripeUnavailable())
    first = await deliver(http, gateway, body)
    gateway.wire.heal()

    second = await deliver(http, gateway, body)

    assert (first.status, second.status) == (503, 200)
    assert [subscription.status for subscription in gateway.subscriptions.by_id.values()] == [SubscriptionStatus.ACTIVE]


async def test_a_returning_browser_is_shown_the_pending_subscription(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """While Stripe is away; another look activates it, without a webhook."""
    paid = set_up(gateway)
    gateway.intents.put(paid)
    body = {"checkoutAttemptId": paid.attempt_id, "setupIntentId": paid.ref.id}
    gateway.wire.fail("billing.create", StripeUnavailable())
    first = await post(http, "/api/orders", body)
    gateway.wire.heal()

    second = await post(http, "/api/orders", body)

    assert [answer.status for answer in (first, second)] == [200, 200]
    assert first.json["order"] is None
    assert [answer.json["subscriptions"][0]["status"] for answer in (first, second)] == ["pending", "active"]


async def test_a_subscription_is_shown_to_its_owner(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """With each charge; without customer and personal data (P7)."""
    subscription = await subscribed(gateway, user_id="user_ada")

    answer = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)

    assert answer.status == 200
    assert {name: value for name, value in answer.json.items() if value is not None} == {
        "id": subscription.id,
        "status": "active",
        "checkoutAttemptId": subscription.checkout_attempt_id,
        "items": [
            {
                "id": "si_price_club",
                "priceId": "price_club",
                "productId": "prod_club",
                "name": "Club",
                "quantity": 2,
                "unitAmount": 900,
                "currency": "usd",
                "interval": "month",
                "intervalCount": 1,
                "currentPeriodEnd": "2030-01-31T12:00:00Z",
            }
        ],
        "boughtItems": [
            {"priceId": "price_club", "productId": "prod_club", "name": "Club", "quantity": 2, "unitAmount": 900}
        ],
        "currency": "usd",
        "amount": 1800,
        "interval": "month",
        "intervalCount": 1,
        "discounts": [],
        "collectionMethod": "charge_automatically",
        "defaultPaymentMethodId": "pm_1",
        "currentPeriodEnd": "2030-01-31T12:00:00Z",
        "cancelAtPeriodEnd": False,
        "endsWithPeriod": False,
        "createdAt": "2030-01-01T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("second", "shown"),
    [
        ({"quantity": 3, "unit_amount": 100}, (2100, "month", 1)),
        ({"unit_amount": None}, (None, "month", 1)),
        ({"quantity": None}, (None, "month", 1)),
        ({"interval_count": 2}, (None, None, None)),
        ({"interval": None}, (None, None, None)),
    ],
)
async def test_an_amount_is_shown_where_there_is_one(
    http: aiohttp.ClientSession, gateway: Gateway, second: dict[str, Any], shown: tuple[Any, ...]
) -> None:
    """Of all items, which may be billed by usage or at different times."""
    subscription = await subscribed(gateway, user_id="user_ada")
    assert subscription.state is not None
    [item] = subscription.state.items
    state = replace(subscription.state, items=(item, replace(item, **second)))
    gateway.subscriptions.by_id[subscription.id] = replace(subscription, state=state)

    answer = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)

    assert tuple(answer.json.get(name) for name in ("amount", "interval", "intervalCount")) == shown
    assert len(answer.json["items"]) == 2


async def test_pause_end_and_discounts_are_shown(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """In Stripe's terms."""
    subscription = await subscribed(gateway, user_id="user_ada")
    assert subscription.state is not None
    at = subscription.created_at
    state = replace(
        subscription.state,
        cancel_at=at,
        canceled_at=at,
        pause_collection=PauseCollection("void", at),
        discounts=(
            Discount("di_1", "SPRING", "Spring", 12.5, None, at, None, "repeating"),
            Discount("di_2", "THREE", "", None, Money(300, "usd"), None, "si_1", "once"),
        ),
    )
    gateway.subscriptions.by_id[subscription.id] = replace(subscription, state=state)

    shown = (await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)).json

    time = "2030-01-01T12:00:00Z"
    assert (shown["cancelAt"], shown["canceledAt"], shown["cancelAtPeriodEnd"]) == (time, time, False)
    assert shown["pauseCollection"] == {"behavior": "void", "resumesAt": time}
    assert [{name: value for name, value in each.items() if value is not None} for each in shown["discounts"]] == [
        {
            "id": "di_1",
            "couponId": "SPRING",
            "name": "Spring",
            "percentOff": 12.5,
            "endsAt": time,
            "duration": "repeating",
        },
        {"id": "di_2", "couponId": "THREE", "amountOff": 300, "currency": "usd", "itemId": "si_1", "duration": "once"},
    ]


async def test_p3_a_setup_intent_without_its_attempt_is_quarantined(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Like a payment; it begins no subscription."""
    paid = set_up(gateway)
    gateway.attempts.lose(str(paid.attempt_id))

    answer = await deliver(http, gateway, setup_event(paid))

    missing = QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)
    assert answer.status == 200
    assert gateway.orders.decisions == {paid.ref.id: missing}
    assert not gateway.subscriptions.by_id


async def test_a_status_of_a_newer_version_is_unknown(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """It does not fail the list."""
    subscription = await subscribed(gateway, user_id="user_ada")
    assert subscription.state is not None
    [item] = subscription.state.items
    state = replace(subscription.state, items=(replace(item, interval=Interval.UNKNOWN),))
    odd = replace(subscription, status=SubscriptionStatus.UNKNOWN, state=state)
    gateway.subscriptions.by_id[subscription.id] = odd

    answer = await get(http, "/api/subscriptions", Authorization=ADA)

    [shown] = answer.json["subscriptions"]
    assert (answer.status, shown["status"], shown["interval"]) == (200, "unknown", "unknown")


@pytest.mark.parametrize("owner", ["user_bob", None])
@pytest.mark.parametrize("verb", ["read", "cancel"])
async def test_somebody_elses_subscription_is_not_found(
    http: aiohttp.ClientSession, gateway: Gateway, verb: str, owner: str | None
) -> None:
    """Nor a guest's, and nothing changes."""
    subscription = await subscribed(gateway, user_id=owner)

    if verb == "read":
        answer = await get(http, f"/api/subscriptions/{subscription.id}", Authorization=ADA)
    else:
        answer = await cancel(http, subscription, mode="now")

    assert (answer.status, answer.kind) == (404, "subscription_not_found")
    assert gateway.subscriptions.by_id[subscription.id].status is SubscriptionStatus.ACTIVE


async def test_a_user_pages_through_the_own_subscriptions(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Newest first, each once, without other users'."""
    subscriptions = [await subscribed(gateway, user_id="user_ada", number=number) for number in range(1, 6)]
    await subscribed(gateway, user_id="user_bob", number=9)

    seen: list[str] = []
    path = "/api/subscriptions?limit=2"
    while path:
        page = (await get(http, path, Authorization=ADA)).json
        seen += [each["id"] for each in page["subscriptions"]]
        path = f"/api/subscriptions?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""

    assert seen == [subscription.id for subscription in reversed(subscriptions)]


async def test_a_subscription_ends_with_its_period_unless_told_otherwise(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """That can be undone while the period lasts."""
    subscription = await subscribed(gateway, user_id="user_ada")

    ends, continues = await cancel(http, subscription), await cancel(http, subscription, mode="undo")

    assert (ends.status, ends.json["status"], ends.json["cancelAtPeriodEnd"]) == (200, "active", True)
    assert (continues.status, continues.json["cancelAtPeriodEnd"]) == (200, False)
    assert (ends.json["endsWithPeriod"], continues.json["endsWithPeriod"]) == (True, False)
    assert gateway.fake_billing.created["sub_1"].state.cancel_at_period_end is False


async def test_a_subscription_ends_now_for_good(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Ending it again changes nothing, and it cannot be undone."""
    subscription = await subscribed(gateway, user_id="user_ada")

    ended = await cancel(http, subscription, mode="now")
    again = [await cancel(http, subscription, mode=mode) for mode in ("now", "at_period_end")]
    undone = await cancel(http, subscription, mode="undo")

    assert (ended.status, ended.json["status"]) == (200, "canceled")
    assert [answer.json for answer in again] == [ended.json] * 2
    assert (undone.status, undone.kind) == (409, "subscription_ended")
    assert gateway.wire.calls.count("billing.cancel_now") == 1


async def test_one_whose_first_charge_is_open_ends_now(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """There is no paid period that it could end with."""
    subscription = await unpaid(gateway, "user_ada")

    answer = await cancel(http, subscription)

    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert gateway.wire.calls.count("billing.cancel_now") == 1


async def test_one_that_was_paid_meanwhile_ends_with_its_period(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The row may be older than the payment."""
    subscription = await subscribed(gateway, user_id="user_ada")
    assert subscription.state is not None
    state = replace(subscription.state, status=SubscriptionStatus.INCOMPLETE)
    gateway.subscriptions.by_id[subscription.id] = replace(subscription, status=state.status, state=state)

    answer = await cancel(http, subscription)

    assert (answer.status, answer.json["status"], answer.json["cancelAtPeriodEnd"]) == (200, "active", True)


@pytest.mark.parametrize("mode", ["at_period_end", "now"])
async def test_a_first_charge_that_is_paid_during_the_cancel_is_reported(
    http: aiohttp.ClientSession, gateway: Gateway, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    """A person gives it back."""
    subscription = await subscribed(gateway, user_id="user_ada")
    shown = gateway.fake_billing.change("sub_1", status=SubscriptionStatus.INCOMPLETE)  # its invoice is paid
    subscription = await gateway.sync.apply_snapshot(subscription, shown, gateway.billing)

    await cancel(http, subscription, mode=mode)

    assert [record.levelname for record in caplog.records if "was charged" in record.message] == ["ERROR"]


@pytest.mark.parametrize(("mode", "status"), [("at_period_end", 200), ("now", 200), ("undo", 409)])
async def test_one_that_ended_at_stripe_meanwhile(
    http: aiohttp.ClientSession, gateway: Gateway, mode: str, status: int
) -> None:
    """The record follows in any mode."""
    subscription = await subscribed(gateway, user_id="user_ada")
    gateway.fake_billing.change("sub_1", status=SubscriptionStatus.CANCELED)

    answer = await cancel(http, subscription, mode=mode)

    assert answer.status == status
    assert gateway.subscriptions.by_id[subscription.id].status is SubscriptionStatus.CANCELED


@pytest.mark.parametrize("mode", ["at_period_end", "now"])
async def test_a_pending_subscription_ends_at_once(http: aiohttp.ClientSession, gateway: Gateway, mode: str) -> None:
    """In either mode, also while Stripe is away, but 503 while a create may be under way. It cannot be resumed."""
    gateway.wire.fail("billing.create", StripeUnavailable())
    gateway.wire.fail("billing.find_existing", StripeUnavailable())
    with pytest.raises(StripeUnavailable):
        await subscribed(gateway, user_id="user_ada")
    [subscription] = gateway.subscriptions.by_id.values()

    pending = await cancel(http, subscription, mode="undo")
    early = await cancel(http, subscription, mode=mode)
    gateway.clock.advance(CREATION_TAKES.total_seconds())
    ended = await cancel(http, subscription, mode=mode)
    undone = await cancel(http, subscription, mode="undo")

    assert (early.status, early.headers["Retry-After"]) == (503, "30")
    assert (pending.status, pending.json["status"]) == (200, "pending")
    assert (ended.status, ended.json["status"]) == (200, "canceled")
    assert ended.json["canceledAt"] == ended.json["endedAt"] is not None
    assert (undone.status, undone.kind) == (409, "subscription_ended")
    assert gateway.fake_billing.created == {}


async def test_another_mode_is_named(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """422 without effect."""
    subscription = await subscribed(gateway, user_id="user_ada")

    answer = await cancel(http, subscription, mode="tomorrow")

    assert (answer.status, answer.fields) == (422, ["mode"])


async def test_a_mixed_purchase_shows_a_subscription_for_each_interval(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """In the order of the cart, with the portal where a guest can end them."""
    await subscribed(gateway, CLUB, ALMANAC)

    answer = await get(http, f"/api/checkout/{attempt_id_of('subscription 1')}")

    assert answer.json["purchase"]["customerPortalUrl"] == PORTAL_URL
    shown = answer.json["purchase"]["subscriptions"]
    assert [(each["interval"], each["amount"]) for each in shown] == [("month", 1800), ("year", 9000)]


INVOICE = {
    "id": "in_1",
    "livemode": False,
    "parent": {"subscription_details": {"subscription": "sub_1", "metadata": None}},
}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("customer.subscription.updated", subscription_json(status="active", latest_invoice="in_1")),
        ("invoice.payment_failed", INVOICE),
    ],
)
async def test_an_event_is_only_a_hint(
    http: aiohttp.ClientSession, gateway: Gateway, kind: str, shown: dict[str, Any]
) -> None:
    """Stripe is asked for the current state; while it is away the event must come again."""
    subscription = await subscribed(gateway)
    gateway.fake_billing.change("sub_1", status=SubscriptionStatus.CANCELED)
    gateway.wire.fail("billing.retrieve", StripeUnavailable())
    away = await deliver(http, gateway, subscription_event(kind, shown))
    gateway.wire.heal()

    answer = await deliver(http, gateway, subscription_event(kind, shown))

    assert (away.status, answer.status) == (503, 200)
    assert gateway.subscriptions.by_id[subscription.id].status is SubscriptionStatus.CANCELED
