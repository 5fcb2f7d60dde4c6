import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_billing import StripeSubscription, SubscriptionRefused
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    NotFoundAtStripe,
    StripeKeyRefused,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.domain.subscriptions import InvoiceStatus, SubscriptionStatus
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions, read_subscription

from ..billing_samples import ROW, invoice_json, subscription_json
from ..samples import ATTEMPT_ID
from ..stripe_stand_in import StripeStandIn, stripe_stand_in

LISTED: Final = {"object": "list", "url": "/v1/subscriptions", "has_more": False}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that answers what it is told to."""
    async with stripe_stand_in() as served:
        yield served


async def test_a_subscription_is_created_with_constant_parameters(stand_in: StripeStandIn) -> None:
    """All of them from the row, which never changes: the same key must never come with others."""
    stand_in.answer(subscription_json())

    made = await StripeSubscriptions(stand_in.client).create(ROW)

    [sent] = stand_in.sent
    assert (sent.method, sent.path) == ("POST", "/v1/subscriptions")
    assert sent.headers["Idempotency-Key"] == f"subscription:{ROW.id}:3"
    assert sent.fields == {
        "customer": "cus_1",
        "items[0][price]": "price_club",
        "items[0][quantity]": "2",
        "items[1][price]": "price_care",
        "items[1][quantity]": "1",
        "default_payment_method": "pm_1",
        "off_session": "true",
        "payment_behavior": "allow_incomplete",
        "trial_period_days": "14",
        "metadata[subscriptionId]": ROW.id,
        "expand[0]": "latest_invoice",
    }
    assert (made.id, made.subscription_id, made.state.status) == ("sub_1", ROW.id, SubscriptionStatus.INCOMPLETE)


async def test_without_a_trial_none_is_sent(stand_in: StripeStandIn) -> None:
    """Stripe refuses a trial of no days."""
    stand_in.answer(subscription_json())

    await StripeSubscriptions(stand_in.client).create(replace(ROW, recurring=Recurring(Interval.MONTH, 1, 0)))

    assert "trial_period_days" not in stand_in.sent[0].fields


async def test_a_replayed_answer_is_looked_up(stand_in: StripeStandIn) -> None:
    """It shows the subscription as it was when it was made: it may have been cancelled since."""
    stand_in.answer(subscription_json(), Idempotent_Replayed="true")
    stand_in.answer(subscription_json(status="canceled"))

    made = await StripeSubscriptions(stand_in.client).create(ROW)

    assert made.state.status is SubscriptionStatus.CANCELED


async def test_every_page_is_searched_whatever_the_status(stand_in: StripeStandIn) -> None:
    """Ours may be cancelled, and further back than a page."""
    page = {"object": "list", "url": "/v1/subscriptions"}
    others = [subscription_json(f"sub_{number}", metadata={}) for number in (7, 8)]
    stand_in.answer({**page, "data": others, "has_more": True})
    stand_in.answer({**page, "data": [subscription_json("sub_9", status="canceled")], "has_more": False})

    found = await StripeSubscriptions(stand_in.client).find_existing(ROW)

    assert found is not None
    assert (found.id, found.state.status) == ("sub_9", SubscriptionStatus.CANCELED)
    assert [sent.fields.get("starting_after") for sent in stand_in.sent] == [None, "sub_8"]
    assert {sent.fields["status"] for sent in stand_in.sent} == {"all"}
    assert {sent.fields["customer"] for sent in stand_in.sent} == {"cus_1"}


async def test_nothing_made_is_none(stand_in: StripeStandIn) -> None:
    """The customer has other subscriptions."""
    stand_in.answer({**LISTED, "data": [subscription_json(metadata={"subscriptionId": ATTEMPT_ID})]})

    assert await StripeSubscriptions(stand_in.client).find_existing(ROW) is None


@pytest.mark.parametrize(
    ("status", "kind", "code", "headers", "expected"),
    [
        (400, "idempotency_error", None, {}, IdempotencyKeyExhausted),
        (500, "api_error", None, {"Idempotent_Replayed": "true"}, IdempotencyKeyExhausted),
        (409, "idempotency_error", "idempotency_key_in_use", {}, StripeUnavailable),
        (500, "api_error", None, {}, StripeUnavailable),
        (429, "rate_limit_error", "rate_limit", {}, StripeUnavailable),
        (401, "invalid_request_error", None, {}, StripeKeyRefused),
        (400, "invalid_request_error", "resource_missing", {}, SubscriptionRefused),
        (404, "invalid_request_error", "resource_missing", {}, SubscriptionRefused),
        (400, "invalid_request_error", None, {}, SubscriptionRefused),
        (402, "card_error", "card_declined", {}, SubscriptionRefused),
    ],
)
async def test_stripes_failures_have_names(
    stand_in: StripeStandIn,
    status: int,
    kind: str,
    code: str | None,
    headers: dict[str, str],
    expected: type[Exception],
) -> None:
    """What may pass, what another key may help, and what never will; none quotes Stripe's message (P7)."""
    stand_in.refuse(status, kind, code, **headers)

    with pytest.raises(Exception) as failure:  # noqa: PT011 — its type is the assertion
        await StripeSubscriptions(stand_in.client).create(ROW)

    assert type(failure.value) is expected
    assert failure.value.__suppress_context__ or failure.value.__context__ is None
    assert "ada@example.com" not in str(failure.value)


async def test_a_refusal_carries_stripes_code_if_it_is_one(stand_in: StripeStandIn) -> None:
    """It is stored and shown to operators; anything else may quote what was sent (P7)."""
    codes = []
    for code in ("resource_missing", "No such thing: ada@example.com"):
        stand_in.refuse(400, "invalid_request_error", code)
        with pytest.raises(SubscriptionRefused) as refused:
            await StripeSubscriptions(stand_in.client).create(ROW)
        codes.append(refused.value.code)

    assert codes == ["resource_missing", "invalid_request"]


async def test_a_subscription_is_read_with_its_latest_invoice(stand_in: StripeStandIn) -> None:
    """The end of its periods is the latest of its items'; the client secret comes only where it is asked for."""
    stand_in.answer(subscription_json())
    stand_in.answer(
        subscription_json(latest_invoice=invoice_json(confirmation_secret={"client_secret": "pi_1_secret_hush"}))
    )

    shown = await StripeSubscriptions(stand_in.client).retrieve("sub_1")
    to_pay = await StripeSubscriptions(stand_in.client).retrieve("sub_1", with_client_secret=True)

    assert shown.state.current_period_end == datetime(2030, 1, 1, 1, tzinfo=UTC)
    assert shown.latest_invoice is not None
    assert (shown.latest_invoice.status, shown.latest_invoice.total) == (InvoiceStatus.OPEN, Money(2150, "usd"))
    assert (shown.client_secret, to_pay.client_secret) == (None, "pi_1_secret_hush")
    assert [sent.fields["expand[0]"] for sent in stand_in.sent] == [
        "latest_invoice",
        "latest_invoice.confirmation_secret",
    ]
    assert "hush" not in repr(to_pay)


def test_every_status_of_stripes_is_known() -> None:
    """Each word that Stripe's library lists for a subscription's status can be read."""
    words = ["active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"]

    statuses = [read_subscription(subscription_json(status=word)).state.status.value for word in words]

    assert statuses == words


async def test_what_stripe_does_not_know_is_gone(stand_in: StripeStandIn) -> None:
    """By name, for subscriptions and invoices."""
    subscriptions = StripeSubscriptions(stand_in.client)
    for _ in range(3):
        stand_in.refuse(404, "invalid_request_error", "resource_missing")

    with pytest.raises(NotFoundAtStripe):
        await subscriptions.retrieve("sub_1")
    with pytest.raises(NotFoundAtStripe):
        await subscriptions.retrieve_invoice("in_1")
    with pytest.raises(NotFoundAtStripe):
        await subscriptions.cancel_at_period_end("sub_1", ends=True)


@pytest.mark.parametrize(
    "look",
    [
        lambda subscriptions: subscriptions.find_existing(ROW),
        lambda subscriptions: subscriptions.retrieve("sub_1"),
        lambda subscriptions: subscriptions.retrieve_invoice("in_1"),
    ],
)
async def test_a_look_that_is_refused_refuses_no_subscription(
    stand_in: StripeStandIn, look: Callable[[StripeSubscriptions], Awaitable[object]]
) -> None:
    """It says nothing of what there is: what was bought is looked for again, and not given up."""
    stand_in.refuse(400, "invalid_request_error", "parameter_invalid_empty")

    [failure] = await asyncio.gather(look(StripeSubscriptions(stand_in.client)), return_exceptions=True)

    assert isinstance(failure, StripeUnavailable)


@pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (lambda subscriptions: subscriptions.create(ROW), subscription_json(status="a new word")),
        (lambda subscriptions: subscriptions.find_existing(ROW), {**LISTED, "data": [subscription_json(items=None)]}),
        (lambda subscriptions: subscriptions.retrieve("sub_1"), subscription_json(trial_end=10**18)),
        (lambda subscriptions: subscriptions.retrieve_invoice("in_1"), invoice_json(status="a new word")),
        (lambda subscriptions: subscriptions.cancel_now("sub_1"), subscription_json(latest_invoice=invoice_json(id=1))),
        (
            lambda subscriptions: subscriptions.cancel_at_period_end("sub_1", ends=True),
            subscription_json(latest_invoice={}) | {"livemode": None, "id": None},
        ),
    ],
    ids=["create", "made_for", "retrieve", "invoice", "cancel_now", "cancel_at_period_end"],
)
async def test_what_cannot_be_read_has_a_name(
    stand_in: StripeStandIn, ask: Callable[[StripeSubscriptions], Awaitable[object]], shown: dict[str, Any]
) -> None:
    """Stripe may learn a word before we do: each caller decides what becomes of it."""
    stand_in.answer(shown)

    [failure] = await asyncio.gather(ask(StripeSubscriptions(stand_in.client)), return_exceptions=True)

    assert isinstance(failure, UnsupportedStripeObject)


async def test_a_customer_that_was_deleted_has_no_subscription(stand_in: StripeStandIn) -> None:
    """Whether another can be made is for Stripe to say."""
    stand_in.refuse(404, "invalid_request_error", "resource_missing")

    assert await StripeSubscriptions(stand_in.client).find_existing(ROW) is None


@pytest.mark.parametrize(
    "unheard_of",
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
async def test_a_latest_invoice_that_is_not_understood_holds_nothing_back(
    stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture, unheard_of: dict[str, Any]
) -> None:
    """What became of the subscription itself is read all the same; an operator is told of the rest."""
    stand_in.answer(subscription_json(status="canceled", latest_invoice=invoice_json(**unheard_of)))

    asked = StripeSubscriptions(stand_in.client).retrieve("sub_1")
    [found] = await asyncio.gather(asked, return_exceptions=True)

    assert isinstance(found, StripeSubscription)
    assert (found.state.status, found.latest_invoice) == (SubscriptionStatus.CANCELED, None)
    assert [record.levelname for record in caplog.records if "cannot be kept" in record.message] == ["ERROR"]


async def test_an_invoice_names_its_subscription(stand_in: StripeStandIn) -> None:
    """An invoice of none has none."""
    stand_in.answer(invoice_json())
    stand_in.answer(invoice_json(parent=None))

    invoices = [await StripeSubscriptions(stand_in.client).retrieve_invoice("in_1") for _ in range(2)]

    assert [invoice.stripe_subscription_id for invoice in invoices] == ["sub_1", None]


@pytest.mark.parametrize(("ends", "sent"), [(True, "true"), (False, "false")])
async def test_an_end_with_the_period_is_set_and_taken_back(stand_in: StripeStandIn, ends: bool, sent: str) -> None:  # noqa: FBT001 — a case
    """A change whose key replays a failure is sent once more with another."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")
    stand_in.answer(subscription_json(cancel_at_period_end=ends))

    shown = await StripeSubscriptions(stand_in.client).cancel_at_period_end("sub_1", ends=ends)

    assert shown.state.cancel_at_period_end is ends
    assert [each.fields["cancel_at_period_end"] for each in stand_in.sent] == [sent, sent]
    assert len({each.headers["Idempotency-Key"] for each in stand_in.sent}) == 2


async def test_an_end_whose_key_replays_a_failure_is_asked_for_with_another(stand_in: StripeStandIn) -> None:
    """To end it twice ends it once."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")
    stand_in.answer(subscription_json(status="canceled"))

    shown = await StripeSubscriptions(stand_in.client).cancel_now("sub_1")

    assert shown.state.status is SubscriptionStatus.CANCELED


async def test_a_change_that_always_replays_a_failure_is_given_up(stand_in: StripeStandIn) -> None:
    """Whoever asked is told to ask again."""
    for _ in range(2):
        stand_in.refuse(500, "api_error", Idempotent_Replayed="true")

    with pytest.raises(StripeUnavailable):
        await StripeSubscriptions(stand_in.client).cancel_now("sub_1")


async def test_one_that_has_ended_is_shown_when_it_is_to_be_cancelled(stand_in: StripeStandIn) -> None:
    """Stripe calls it missing then, and shows it when it is asked for."""
    stand_in.refuse(404, "invalid_request_error", "resource_missing")
    stand_in.answer(subscription_json(status="canceled"))

    shown = await StripeSubscriptions(stand_in.client).cancel_now("sub_1")

    assert shown.state.status is SubscriptionStatus.CANCELED
    assert [sent.method for sent in stand_in.sent] == ["DELETE", "GET"]
