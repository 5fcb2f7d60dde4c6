from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.domain.subscriptions import InvoiceStatus, SubscriptionStatus
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions, subscription_from_stripe

from ..billing_samples import SUBSCRIPTION, invoice_json, subscription_json
from ..samples import ATTEMPT_ID
from ..stripe_stand_in import StripeStandIn, stripe_stand_in

PERIOD_END = 1_893_459_600


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that responds as told."""
    async with stripe_stand_in() as served:
        yield served


@pytest.fixture
def subscriptions(stand_in: StripeStandIn) -> StripeSubscriptions:
    """Give its client."""
    return StripeSubscriptions(stand_in.client)


async def test_a_subscription_is_created_with_constant_parameters(
    stand_in: StripeStandIn, subscriptions: StripeSubscriptions
) -> None:
    """All from the stored subscription, which never changes: a key must not be used with other parameters."""
    stand_in.answer(subscription_json())

    created = await subscriptions.create(SUBSCRIPTION)

    [sent] = stand_in.sent
    assert (sent.method, sent.path) == ("POST", "/v1/subscriptions")
    assert sent.headers["Idempotency-Key"] == f"subscription:{SUBSCRIPTION.id}:3"
    assert sent.fields == {
        "customer": "cus_1",
        "items[0][price]": "price_club",
        "items[0][quantity]": "2",
        "items[1][price]": "price_care",
        "items[1][quantity]": "1",
        "default_payment_method": "pm_1",
        "off_session": "true",
        "payment_behavior": "allow_incomplete",
        "payment_settings[save_default_payment_method]": "on_subscription",
        "trial_period_days": "14",
        "metadata[subscriptionId]": SUBSCRIPTION.id,
        "expand[0]": "latest_invoice",
        "expand[1]": "items.data.price.product",
        "expand[2]": "items.data.price.currency_options",
        "expand[3]": "discounts.source.coupon.currency_options",
    }
    assert (created.id, created.subscription_id) == ("sub_1", SUBSCRIPTION.id)
    assert created.state.status is SubscriptionStatus.INCOMPLETE


async def test_without_a_trial_none_is_sent(stand_in: StripeStandIn, subscriptions: StripeSubscriptions) -> None:
    """Stripe refuses a trial of no days."""
    stand_in.answer(subscription_json())

    await subscriptions.create(replace(SUBSCRIPTION, recurring=Recurring(Interval.MONTH, 1, 0)))

    assert "trial_period_days" not in stand_in.sent[0].fields


async def test_a_replayed_response_is_looked_up(stand_in: StripeStandIn, subscriptions: StripeSubscriptions) -> None:
    """It shows the subscription as it was created, and it may have been cancelled since."""
    stand_in.answer(subscription_json(), Idempotent_Replayed="true")
    stand_in.answer(subscription_json(status="canceled"))

    created = await subscriptions.create(SUBSCRIPTION)

    assert created.state.status is SubscriptionStatus.CANCELED


async def test_every_page_is_searched_whatever_the_status(
    stand_in: StripeStandIn, subscriptions: StripeSubscriptions
) -> None:
    """Ours may be cancelled or unreadable, and on a later page."""
    page = {"object": "list", "url": "/v1/subscriptions"}
    others = [subscription_json(f"sub_{number}", metadata={}) for number in (7, 8)]
    stand_in.answer({**page, "data": others, "has_more": True})
    stand_in.answer({**page, "data": [subscription_json("sub_9", currency=None)], "has_more": False})

    found = await subscriptions.find_existing(SUBSCRIPTION)

    assert found == "sub_9"
    assert [sent.fields.get("starting_after") for sent in stand_in.sent] == [None, "sub_8"]
    assert {(sent.fields["status"], sent.fields["customer"]) for sent in stand_in.sent} == {("all", "cus_1")}


async def test_no_existing_subscription_is_found(stand_in: StripeStandIn, subscriptions: StripeSubscriptions) -> None:
    """Where the customer has others only, or was deleted."""
    other = subscription_json(metadata={"subscriptionId": ATTEMPT_ID})
    stand_in.answer({"object": "list", "url": "/v1/subscriptions", "has_more": False, "data": [other]})
    stand_in.refuse(404, "invalid_request_error", "resource_missing")

    assert [await subscriptions.find_existing(SUBSCRIPTION) for _ in range(2)] == [None, None]


async def test_a_refusal_carries_stripes_code_if_it_is_one(
    stand_in: StripeStandIn, subscriptions: StripeSubscriptions
) -> None:
    """It is stored and shown to operators; anything else may quote the request (P7)."""
    codes = []
    for status, kind, code in (
        (400, "invalid_request_error", "resource_missing"),
        (402, "card_error", "card_declined"),
        (400, "invalid_request_error", "No such thing: ada@example.com"),
    ):
        stand_in.refuse(status, kind, code)
        with pytest.raises(SubscriptionRefused) as refused:
            await subscriptions.create(SUBSCRIPTION)
        codes.append(refused.value.code)

    assert codes == ["resource_missing", "card_declined", "invalid_request"]


async def test_a_subscription_is_read_with_its_latest_invoice(
    stand_in: StripeStandIn, subscriptions: StripeSubscriptions
) -> None:
    """Its period ends with the latest of its items' periods; the client secret comes only on demand."""
    stand_in.answer(subscription_json())
    stand_in.answer(
        subscription_json(latest_invoice=invoice_json(confirmation_secret={"client_secret": "pi_1_secret_hush"}))
    )

    shown = await subscriptions.retrieve("sub_1")
    to_pay = await subscriptions.retrieve("sub_1", with_client_secret=True)

    assert shown.state.current_period_end == datetime(2030, 1, 1, 1, tzinfo=UTC)
    assert shown.latest_invoice is not None
    assert (shown.latest_invoice.status, shown.latest_invoice.total) == (InvoiceStatus.OPEN, Money(2150, "usd"))
    assert (shown.client_secret, to_pay.client_secret) == (None, "pi_1_secret_hush")
    assert [sent.fields["expand[0]"] for sent in stand_in.sent] == [
        "latest_invoice",
        "latest_invoice.confirmation_secret",
    ]
    assert "hush" not in repr(to_pay)


@pytest.mark.parametrize(
    "status",
    ["active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"],
)
def test_every_status_is_read(status: str) -> None:
    """Each word that Stripe's library lists."""
    assert subscription_from_stripe(subscription_json(status=status)).state.status.value == status


@pytest.mark.parametrize("changes", [{"currency": None}, {"items": None}, {"latest_invoice": {}, "id": None}])
async def test_an_unreadable_subscription_is_unsupported(
    stand_in: StripeStandIn, subscriptions: StripeSubscriptions, changes: dict[str, Any]
) -> None:
    """Without these there is nothing to store it by: each caller decides what to do."""
    stand_in.answer(subscription_json(**changes))

    with pytest.raises(UnsupportedStripeObject):
        await subscriptions.retrieve("sub_1")


@pytest.mark.parametrize(
    "unreadable",
    [
        {"status": "a new word"},
        {"currency": None},
        {"amount_paid": -1},
        {"total": 19.9},
        {"total": 2**63},
        {"attempt_count": -1},
        {"attempt_count": 2**31},
        {"billing_reason": ["for", "a", "reason"]},
        {"period_start": -1},
    ],
    ids=str,
)
async def test_an_unreadable_latest_invoice_blocks_no_state(
    stand_in: StripeStandIn,
    subscriptions: StripeSubscriptions,
    caplog: pytest.LogCaptureFixture,
    unreadable: dict[str, Any],
) -> None:
    """The subscription itself is read; an operator is told of the rest."""
    stand_in.answer(subscription_json(status="canceled", latest_invoice=invoice_json(**unreadable)))

    try:
        state, invoice = (found := await subscriptions.retrieve("sub_1")).state.status, found.latest_invoice
    except UnsupportedStripeObject:
        pytest.fail("the state was not read")

    assert (state, invoice) == (SubscriptionStatus.CANCELED, None)
    assert [record.levelname for record in caplog.records if "cannot be read" in record.message] == ["ERROR"]


async def test_an_invoice_names_its_subscription(stand_in: StripeStandIn, subscriptions: StripeSubscriptions) -> None:
    """None where it charges for none."""
    stand_in.answer(invoice_json())
    stand_in.answer(invoice_json(parent=None))

    invoices = [await subscriptions.retrieve_invoice("in_1") for _ in range(2)]

    assert [invoice.stripe_subscription_id for invoice in invoices] == ["sub_1", None]


async def test_the_end_with_the_period_is_set(stand_in: StripeStandIn, subscriptions: StripeSubscriptions) -> None:
    """With another key where the first replays a failure."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")
    stand_in.answer(subscription_json(cancel_at_period_end=True))

    shown = await subscriptions.cancel_at_period_end("sub_1", ends=True)

    assert shown.state.cancel_at_period_end is True
    assert [each.fields["cancel_at_period_end"] for each in stand_in.sent] == ["true", "true"]


@pytest.mark.parametrize(
    ("ending", "sent"),
    [
        ({"cancel_at_period_end": True, "cancel_at": PERIOD_END}, {"cancel_at_period_end": "false"}),
        ({"cancel_at": PERIOD_END}, {"cancel_at": ""}),
        ({"cancel_at": PERIOD_END + 1}, None),
        ({}, None),
    ],
    ids=["asked here", "asked in the portal", "the shop's date", "goes on"],
)
async def test_only_an_end_with_the_period_is_taken_back(
    stand_in: StripeStandIn,
    subscriptions: StripeSubscriptions,
    ending: dict[str, Any],
    sent: dict[str, str] | None,
) -> None:
    """Stripe's portal sets only the date; another date is the shop's own."""
    stand_in.answer(subscription_json(**ending))
    stand_in.answer(subscription_json())

    shown = await subscriptions.cancel_at_period_end("sub_1", ends=False)

    changes = [each.fields for each in stand_in.sent if each.method == "POST"]
    assert [{name: each[name] for name in each if "expand" not in name} for each in changes] == ([sent] if sent else [])
    assert shown.state.ends_with_a_period is False


async def test_cancelling_an_ended_subscription_returns_it(
    stand_in: StripeStandIn, subscriptions: StripeSubscriptions
) -> None:
    """Stripe calls it missing then, and shows it when it is retrieved."""
    stand_in.refuse(404, "invalid_request_error", "resource_missing")
    stand_in.answer(subscription_json(status="canceled"))

    shown = await subscriptions.cancel_now("sub_1")

    assert shown.state.status is SubscriptionStatus.CANCELED
    assert [sent.method for sent in stand_in.sent] == ["DELETE", "GET"]
