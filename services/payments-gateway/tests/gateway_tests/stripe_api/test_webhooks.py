import json
from typing import Any

import pytest
import stripe
from prometheus_client import REGISTRY

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    SubscriptionChanged,
    SubscriptionItemChanged,
    UnreadableIntentSucceeded,
    WebhookEvent,
)
from payments_gateway.stripe_api.webhooks import BadEvent, BadSignature, StripeWebhooks, ThinPayload

from ..http_edge import signature_of

NOW = 1_900_000_000
OLD_SECRET, NEW_SECRET = "whsec_old", "whsec_new"
WEBHOOKS = StripeWebhooks([OLD_SECRET, NEW_SECRET], now=lambda: float(NOW))

INTENT: dict[str, Any] = {
    "object": "payment_intent",
    "id": "pi_1",
    "created": 1_899_999_999,
    "status": "succeeded",
    "metadata": {"checkoutAttemptId": "attempt"},
    "amount_received": 1250,
    "currency": "usd",
    "livemode": False,
}
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "api_version": stripe.api_version,
    "type": "payment_intent.succeeded",
    "created": 1_900_000_000,
    "data": {"object": INTENT},
}


def body_of(**changes: Any) -> bytes:
    """Return an event's body; changes replace fields."""
    return json.dumps({**EVENT, **changes}).encode()


BODY = body_of()


@pytest.mark.parametrize("secret", [OLD_SECRET, NEW_SECRET])
@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_current_signature_is_valid(secret: str, seconds: int) -> None:
    """By either secret of a rotation; clocks and queues may be off by five minutes."""
    delivery = WEBHOOKS.read(BODY, signature_of(BODY, NOW + seconds, secret))

    assert (delivery.id, delivery.account) == ("evt_1", None)


def test_one_valid_signature_of_several_is_enough() -> None:
    """Stripe signs with both secrets while they overlap, in one header."""
    valid = signature_of(BODY, NOW, NEW_SECRET)
    other = signature_of(BODY, NOW, "whsec_of_somebody").partition(",")[2]

    assert WEBHOOKS.read(BODY, f"{valid},{other},v0=ignored").id == "evt_1"


GOOD = signature_of(BODY, NOW, OLD_SECRET)
STALE = signature_of(BODY, NOW - 301, OLD_SECRET)
V1 = GOOD.partition(",")[2]
STALE_V1 = STALE.partition(",")[2]


INVALID_SIGNATURES = {
    "none": None,
    "empty": "",
    "nonsense": "nonsense",
    "time only": f"t={NOW}",
    "no time": V1,
    "empty time": f"t=,{V1}",
    "a word for a time": f"t=now,{V1}",
    "negative time": f"t=-1,{V1}",
    "fraction": f"t={NOW}.5,{V1}",
    "plus sign": f"t=+{NOW},{V1}",
    "huge time": f"t={'9' * 5000},{V1}",
    "old scheme": f"t={NOW},v0={V1[3:]}",
    "zeros": f"t={NOW},v1={'0' * 64}",
    "another time": f"t={NOW + 1},{V1}",
    "another secret": signature_of(BODY, NOW, "whsec_of_somebody"),
    "empty secret": signature_of(BODY, NOW, ""),
    "another body": signature_of(body_of(id="evt_2"), NOW, OLD_SECRET),
    "stale": STALE,
    "of the future": signature_of(BODY, NOW + 301, OLD_SECRET),
    "of the far future": signature_of(BODY, NOW + 10**9, OLD_SECRET),
    "not ASCII at the end": GOOD + "é",
    "not ASCII in the signature": f"t={NOW},v1=é{V1[3:]}",
    "digits of another script": GOOD.replace("1", "\u0661"),
}


@pytest.mark.parametrize("signature", INVALID_SIGNATURES.values(), ids=INVALID_SIGNATURES)
def test_a_delivery_without_a_current_signature_is_refused(signature: str | None) -> None:
    """No event is read from it."""
    with pytest.raises(BadSignature):
        WEBHOOKS.read(BODY, signature)


@pytest.mark.parametrize(
    "signature",
    [
        f"t={NOW},{STALE}",
        f"{STALE},t={NOW}",
        f"t={NOW}, {STALE}",
        f" t={NOW},{STALE}",
        f"t ={NOW},{STALE}",
        f"{STALE},\tt={NOW}",
        f"t={NOW},t={NOW},{V1}",
        f"t={NOW}=1,{STALE_V1}",
        f"\x0bt={NOW},{STALE}",
    ],
)
def test_a_captured_delivery_cannot_be_refreshed_by_a_second_timestamp(signature: str) -> None:
    """The timestamp that is checked might not be the one that was signed."""
    with pytest.raises(BadSignature):
        WEBHOOKS.read(BODY, signature)


@pytest.mark.parametrize("seconds", [-301, -86_400, 301, 10**9])
def test_a_wrong_clock_is_told_from_an_attack(caplog: pytest.LogCaptureFixture, seconds: int) -> None:
    """A correct MAC of another time is an error that names the skew, and a metric."""
    before = skewed()

    with pytest.raises(BadSignature):
        WEBHOOKS.read(BODY, signature_of(BODY, NOW + seconds, NEW_SECRET))

    assert [(record.levelname, record.__dict__["skew_seconds"]) for record in caplog.records] == [("ERROR", seconds)]
    assert skewed() == before + 1


@pytest.mark.parametrize("signature", [f"t={NOW - 301},{V1}", f"t={NOW + 301},v1={'0' * 64}", "t=1", "nonsense", None])
def test_strangers_cannot_fill_the_log(caplog: pytest.LogCaptureFixture, signature: str | None) -> None:
    """Without a correct MAC nothing is logged about a delivery's time, and an unknown secret once a minute."""
    now = [float(NOW)]
    webhooks = StripeWebhooks([OLD_SECRET], now=lambda: now[0])
    before = skewed()

    for seconds in (0, 30, 29, 1):
        now[0] += seconds
        with pytest.raises(BadSignature):
            webhooks.read(BODY, signature)

    logged = [(record.levelname, record.message.split(":")[0]) for record in caplog.records]
    well_formed = signature is not None and signature.startswith("t=")
    assert logged == [("WARNING", "webhook signed with an unknown secret")] * 2 * well_formed
    assert skewed() == before


def skewed() -> float:
    """Return how many deliveries had a correct MAC of another time."""
    return REGISTRY.get_sample_value("holdfast_webhook_skewed_signatures_total") or 0.0


def test_without_secrets_no_signature_is_valid() -> None:
    """Not even one by an empty secret."""
    webhooks = StripeWebhooks([], now=lambda: float(NOW))

    with pytest.raises(BadSignature):
        webhooks.read(BODY, signature_of(BODY, NOW, ""))


def test_a_body_that_is_not_utf_8_is_refused() -> None:
    """Stripe signs UTF-8."""
    with pytest.raises(BadSignature):
        WEBHOOKS.read(b"\xff\xfe" + BODY, GOOD)


UNSTORABLE_IDS: list[Any] = ["", "x" * 256, "pi_\0", "\ud800", None, {}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"null",
        b"[]",
        b'"event"',
        b"{}",
        b"[" * 100_000,
        b'{"id": 1' + b"0" * 5000 + b"}",
        body_of(object=None),
        body_of(object="payment_intent"),
        body_of(object={"object": "event"}),
        body_of(data=None),
        body_of(created=None),
        body_of(created=1e300),
        body_of(created=10**30),
        body_of(data=[]),
        body_of(data={"object": "pi_1"}),
        body_of(data={"object": {**INTENT, "object": "charge"}}),
        *[body_of(data={"object": {**INTENT, "id": value}}) for value in UNSTORABLE_IDS],
        *[body_of(id=value) for value in UNSTORABLE_IDS],
    ],
)
def test_an_unreadable_body_is_a_bad_event(body: bytes) -> None:
    """With a valid signature."""
    with pytest.raises(BadEvent):
        WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))


THIN = {
    "id": "evt_1",
    "object": "v2.core.event",
    "type": "v1.payment_intent.succeeded",
    "created": "2026-10-28T12:00:00.000Z",
    "livemode": False,
    "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/pi_1"},
}


def test_a_thin_payload_is_refused_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """Its signature is made as that of other events; nothing can be read from it."""
    body = json.dumps(THIN).encode()

    with pytest.raises(BadSignature):
        WEBHOOKS.read(body, signature_of(body, NOW, "whsec_of_somebody"))
    caplog.clear()
    with pytest.raises(ThinPayload):
        WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "event destination at Stripe sends thin payloads: replace it by a webhook endpoint")
    ]


def deliver_in(webhooks: StripeWebhooks, api_version: Any) -> None:
    """Read an event in an API version."""
    body = body_of(api_version=api_version)
    assert webhooks.read(body, signature_of(body, NOW, OLD_SECRET)).event is not None


def test_another_api_version_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Ours is neither; what is no version has a name of ours, since a label and a log line quote nothing."""
    webhooks = StripeWebhooks([OLD_SECRET], now=lambda: float(NOW))
    names = ["2020-08-27", "2024-09-30.acacia", "unknown"]
    before = [versions(name) for name in names]

    for version in [stripe.api_version, "2020-08-27", "2024-09-30.acacia", "2020-08-27", None, "2020", 7, "x" * 99]:
        deliver_in(webhooks, version)

    assert [versions(name) - count for name, count in zip(names, before, strict=True)] == [2, 1, 4]
    assert [record.__dict__["api_version"] for record in caplog.records] == names


def test_api_versions_have_a_bounded_number_of_labels(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty, and one for all further ones."""
    webhooks = StripeWebhooks([OLD_SECRET], now=lambda: float(NOW))
    before = versions("more")

    for month in range(1, 31):
        deliver_in(webhooks, f"2000-01-{month:02}")

    assert versions("more") == before + 10
    assert len(caplog.records) == 21


def versions(name: str) -> float:
    """Return how many events had another API version."""
    return REGISTRY.get_sample_value("holdfast_webhook_other_api_version_total", {"api_version": name}) or 0.0


@pytest.mark.parametrize(
    "other",
    [
        *[{"amount_received": value} for value in (None, float("inf"), float("nan"), 2**63, -1, 12.5, True, "1250")],
        *[{"currency": value} for value in ("", "us", "usd\n", "\ud800", 7)],
        {"status": "paid"},
        {"status": "processing"},
        {"metadata": "attempt"},
    ],
)
def test_a_succeeded_intent_of_another_form_is_named(other: dict[str, Any]) -> None:
    """So that it can be read from Stripe: its payment must not be lost, and nothing behind the gateway stores this."""
    event = event_of("payment_intent.succeeded", {**INTENT, **other})

    assert event == UnreadableIntentSucceeded(IntentRef("pi_1", IntentKind.PAYMENT), livemode=False)


def test_an_intent_without_a_field_is_named() -> None:
    """As versions before ours may show it."""
    shown = {name: value for name, value in INTENT.items() if name != "livemode"}

    assert event_of("payment_intent.succeeded", shown) == UnreadableIntentSucceeded(
        IntentRef("pi_1", IntentKind.PAYMENT), livemode=None
    )


def event_of(kind: str, shown: dict[str, Any]) -> WebhookEvent | None:
    """Read a signed delivery of an event."""
    body = body_of(type=kind, data={"object": shown})
    return WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET)).event


@pytest.mark.parametrize(
    ("metadata", "attempt_id"),
    [({"checkoutAttemptId": "attempt"}, "attempt"), (None, None), ({}, None), ({"order": "17"}, None)],
)
def test_a_succeeded_payment_intent_is_read(metadata: dict[str, str] | None, attempt_id: str | None) -> None:
    """With everything that fulfilment needs; other software's intents name no attempt."""
    event = event_of("payment_intent.succeeded", {**INTENT, "metadata": metadata})

    assert isinstance(event, IntentSucceeded)
    intent = event.intent
    assert (intent.ref.id, intent.ref.kind, intent.status) == ("pi_1", IntentKind.PAYMENT, IntentStatus.SUCCEEDED)
    assert (intent.attempt_id, intent.received, intent.livemode) == (attempt_id, Money(1250, "usd"), False)


def test_a_succeeded_setup_intent_received_nothing() -> None:
    """It has no amount."""
    setup = {
        "object": "setup_intent",
        "id": "seti_1",
        "created": 1_899_999_999,
        "status": "succeeded",
        "metadata": {},
        "livemode": False,
    }

    event = event_of("setup_intent.succeeded", setup)

    assert isinstance(event, IntentSucceeded)
    assert (event.intent.ref.kind, event.intent.received) == (IntentKind.SETUP, None)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("refund.created", RefundChanged("x_1")),
        ("refund.updated", RefundChanged("x_1")),
        ("refund.failed", RefundChanged("x_1")),
        ("charge.refund.updated", RefundChanged("x_1")),
        ("charge.refunded", ChargeRefunded("x_1")),
        ("charge.dispute.created", DisputeChanged("x_1")),
        ("charge.dispute.updated", DisputeChanged("x_1")),
        ("charge.dispute.closed", DisputeChanged("x_1")),
        ("charge.dispute.funds_withdrawn", DisputeChanged("x_1")),
        ("charge.dispute.funds_reinstated", DisputeChanged("x_1")),
        ("payment_intent.processing", None),
        ("payment_intent.payment_failed", None),
        ("charge.captured", None),
        ("some.new.event", None),
    ],
)
def test_other_events_are_read_by_id_only(kind: str, event: WebhookEvent | None) -> None:
    """The rest may be outdated; events without effect are counted and not read at all, so new types break nothing."""
    before = REGISTRY.get_sample_value("holdfast_webhook_unhandled_events_total") or 0.0

    assert event_of(kind, {"id": "x_1", "amount": "lots", "status": 7}) == event
    unhandled = REGISTRY.get_sample_value("holdfast_webhook_unhandled_events_total")
    assert unhandled == before + (event is None)


OURS = {"metadata": {"subscriptionId": "ours"}}
SUBSCRIPTION = {"id": "sub_1", **OURS, "livemode": False}
OLDER_SUBSCRIPTION = {**SUBSCRIPTION, "current_period_end": 1_900_000_000, "items": {"data": [{"id": "si_1"}]}}
DISCOUNT = {"id": "di_1", "object": "discount", "customer": "cus_1", "subscription": "sub_1"}
OF_AN_ITEM = {**DISCOUNT, "subscription": None, "subscription_item": "si_1"}
INVOICE = {
    "id": "in_1",
    "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", **OURS}},
    "livemode": False,
}
"""Since 2025-03-31.basil."""
OLDER_INVOICE = {"id": "in_1", "subscription": "sub_1", "subscription_details": OURS, "livemode": False}
OLDEST_INVOICE = {"id": "in_1", "subscription": "sub_1", "livemode": False}
"""Before invoices had a copy of the metadata."""
OF_A_QUOTE = {"type": "quote_details", "subscription_details": None, "quote_details": {"quote": "qt_1"}}


OF_SUBSCRIPTION = SubscriptionChanged("sub_1", "ours", None, livemode=False)
OF_DISCOUNT = SubscriptionChanged("sub_1", None, None, livemode=None)
OF_INVOICE = SubscriptionChanged("sub_1", "ours", "in_1", livemode=False)
SUBSCRIPTION_VERBS = ("created", "updated", "deleted", "paused", "resumed", "trial_will_end")
DISCOUNT_VERBS = ("created", "updated", "deleted")
INVOICE_VERBS = (
    *("finalized", "updated", "paid", "voided", "marked_uncollectible"),
    *("payment_failed", "payment_action_required"),
)


@pytest.mark.parametrize(
    ("kind", "shown", "event"),
    [
        *((f"customer.subscription.{verb}", SUBSCRIPTION, OF_SUBSCRIPTION) for verb in SUBSCRIPTION_VERBS),
        *((f"customer.discount.{verb}", DISCOUNT, OF_DISCOUNT) for verb in DISCOUNT_VERBS),
        *((f"invoice.{verb}", INVOICE, OF_INVOICE) for verb in INVOICE_VERBS),
        ("customer.subscription.updated", OLDER_SUBSCRIPTION, OF_SUBSCRIPTION),
        ("customer.discount.deleted", {**DISCOUNT, "subscription": None}, None),
        ("customer.discount.deleted", OF_AN_ITEM, SubscriptionItemChanged("si_1")),
        ("invoice.paid", OLDER_INVOICE, OF_INVOICE),
        ("invoice.paid", OLDEST_INVOICE, SubscriptionChanged("sub_1", None, "in_1", livemode=False)),
        ("invoice.paid", {**INVOICE, "parent": None}, None),
        ("invoice.paid", {**INVOICE, "parent": OF_A_QUOTE}, None),
        ("invoice.paid", {**OLDER_INVOICE, "subscription": None, "subscription_details": {"metadata": None}}, None),
    ],
)
def test_events_of_subscriptions_and_invoices_are_read(
    kind: str, shown: dict[str, Any], event: WebhookEvent | None
) -> None:
    """In the form of any API version. Invoices and discounts name their subscription; without one they do nothing."""
    assert event_of(kind, shown) == event


def test_an_event_of_a_connected_account_names_it() -> None:
    """The edge has no effect for it."""
    body = body_of(account="acct_1")

    assert WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET)).account == "acct_1"
