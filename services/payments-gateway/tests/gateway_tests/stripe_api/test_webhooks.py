import json
from typing import Any

import pytest

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    WebhookEvent,
)
from payments_gateway.stripe_api.webhooks import BadEvent, BadSignature, StripeWebhooks

from ..http_edge import signature_of

NOW = 1_900_000_000
OLD_SECRET, NEW_SECRET = "whsec_old", "whsec_new"
WEBHOOKS = StripeWebhooks([OLD_SECRET, NEW_SECRET], now=lambda: float(NOW))

INTENT: dict[str, Any] = {
    "object": "payment_intent",
    "id": "pi_1",
    "status": "succeeded",
    "metadata": {"checkoutAttemptId": "attempt"},
    "amount_received": 1250,
    "currency": "usd",
    "livemode": False,
}
EVENT: dict[str, Any] = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": INTENT}}


def body_of(**changes: Any) -> bytes:
    """Return an event's body; changes replace fields."""
    return json.dumps({**EVENT, **changes}).encode()


BODY = body_of()


@pytest.mark.parametrize("secret", [OLD_SECRET, NEW_SECRET])
def test_either_secret_of_a_rotation_signs(secret: str) -> None:
    """While an endpoint's secret is rotated, deliveries by both are read."""
    event = WEBHOOKS.read(BODY, signature_of(BODY, NOW, secret))

    assert (event.id, event.type, event.account) == ("evt_1", "payment_intent.succeeded", None)


def test_one_good_signature_of_several_is_enough() -> None:
    """Stripe itself signs with both secrets while they overlap, in one header."""
    good = signature_of(BODY, NOW, NEW_SECRET)
    other = signature_of(BODY, NOW, "whsec_of_somebody").partition(",")[2]

    event = WEBHOOKS.read(BODY, f"{good},{other},v0=ignored")

    assert event.id == "evt_1"


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_signature_of_just_now_is_good(seconds: int) -> None:
    """Clocks and queues may be off by five minutes."""
    event = WEBHOOKS.read(BODY, signature_of(BODY, NOW + seconds, OLD_SECRET))

    assert event.id == "evt_1"


GOOD = signature_of(BODY, NOW, OLD_SECRET)
STALE = signature_of(BODY, NOW - 301, OLD_SECRET)
V1 = GOOD.partition(",")[2]
STALE_V1 = STALE.partition(",")[2]


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "nonsense",
        f"t={NOW}",
        V1,
        f"t=,{V1}",
        f"t=now,{V1}",
        f"t=-1,{V1}",
        f"t={NOW}.5,{V1}",
        f"t=+{NOW},{V1}",
        f"t={'9' * 5000},{V1}",
        f"t={NOW},v0={V1[3:]}",
        f"t={NOW},v1={'0' * 64}",
        f"t={NOW + 1},{V1}",
        signature_of(BODY, NOW, "whsec_of_somebody"),
        signature_of(BODY, NOW, ""),
        signature_of(body_of(id="evt_2"), NOW, OLD_SECRET),
        STALE,
        signature_of(BODY, NOW + 301, OLD_SECRET),
        signature_of(BODY, NOW + 10**9, OLD_SECRET),
        GOOD + "é",
        f"t={NOW},v1=é{V1[3:]}",
        GOOD.replace("1", "\u0661"),
    ],
    ids=[
        "none",
        "empty",
        "nonsense",
        "time only",
        "no time",
        "empty time",
        "a word for a time",
        "negative time",
        "fraction",
        "plus sign",
        "huge time",
        "old scheme",
        "zeros",
        "another time",
        "another secret",
        "empty secret",
        "another body",
        "stale",
        "of the future",
        "of the far future",
        "not ASCII at the end",
        "not ASCII in the signature",
        "digits of another script",
    ],
)
def test_what_is_not_signed_just_now_with_our_secret_is_refused(signature: str | None) -> None:
    """No event is read from such a delivery."""
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
def test_a_captured_delivery_cannot_be_made_fresh_by_a_second_time(signature: str) -> None:
    """Two times in one header: the one that is checked for age might not be the one that was signed."""
    with pytest.raises(BadSignature):
        WEBHOOKS.read(BODY, signature)


def test_without_secrets_nothing_is_signed() -> None:
    """A gateway without a webhook secret reads no event at all."""
    webhooks = StripeWebhooks([], now=lambda: float(NOW))

    with pytest.raises(BadSignature):
        webhooks.read(BODY, signature_of(BODY, NOW, ""))


def test_a_body_that_is_no_text_is_refused() -> None:
    """Stripe signs UTF-8."""
    with pytest.raises(BadSignature):
        WEBHOOKS.read(b"\xff\xfe" + BODY, GOOD)


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
        body_of(data=None),
        body_of(data=[]),
        body_of(data={"object": "pi_1"}),
        body_of(data={"object": {**INTENT, "object": "charge"}}),
        body_of(data={"object": {**INTENT, "status": "paid"}}),
        body_of(data={"object": {**INTENT, "amount_received": None}}),
        body_of(data={"object": {**INTENT, "metadata": "attempt"}}),
        body_of(data={"object": {name: value for name, value in INTENT.items() if name != "livemode"}}),
    ],
)
def test_signed_garbage_is_a_bad_event(body: bytes) -> None:
    """What carries a good signature but cannot be read is refused as such, whatever it is."""
    with pytest.raises(BadEvent):
        WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))


UNRECORDABLE: dict[str, list[Any]] = {
    "amount_received": [float("inf"), float("nan"), 2**63, -1, 12.5, True, "1250"],
    "currency": ["", "us", "usd\n", "\ud800", 7],
    "id": ["", "x" * 256, "pi_\0", "\ud800", None, {}],
}


@pytest.mark.parametrize(
    "body",
    [
        *[body_of(data={"object": {**INTENT, key: value}}) for key, values in UNRECORDABLE.items() for value in values],
        *[body_of(id=value) for value in UNRECORDABLE["id"]],
    ],
)
def test_what_could_not_be_recorded_is_a_bad_event(body: bytes) -> None:
    """An amount, currency or id that no store behind us holds is refused here, not by them."""
    with pytest.raises(BadEvent):
        WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))


def test_the_intent_of_a_success_is_read() -> None:
    """With all that fulfilment needs."""
    news = WEBHOOKS.read(BODY, GOOD).event

    assert isinstance(news, IntentSucceeded)
    intent = news.intent
    assert (intent.ref.id, intent.ref.kind, intent.status) == ("pi_1", IntentKind.PAYMENT, IntentStatus.SUCCEEDED)
    assert (intent.attempt_id, intent.received, intent.livemode) == ("attempt", Money(1250, "usd"), False)


@pytest.mark.parametrize("metadata", [None, {}, {"order": "17"}])
def test_a_foreign_intent_names_no_attempt(metadata: dict[str, str] | None) -> None:
    """Other software's metadata is nothing to stumble over."""
    body = body_of(data={"object": {**INTENT, "metadata": metadata}})

    news = WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET)).event

    assert isinstance(news, IntentSucceeded)
    assert news.intent.attempt_id is None


def test_a_setup_intent_received_nothing() -> None:
    """It has no amount at all."""
    setup = {"object": "setup_intent", "id": "seti_1", "status": "succeeded", "metadata": {}, "livemode": False}
    body = body_of(type="setup_intent.succeeded", data={"object": setup})

    news = WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET)).event

    assert isinstance(news, IntentSucceeded)
    intent = news.intent
    assert (intent.ref.kind, intent.received) == (IntentKind.SETUP, None)


@pytest.mark.parametrize(
    "kind", ["payment_intent.processing", "payment_intent.payment_failed", "charge.captured", "some.new.event"]
)
def test_other_events_carry_no_news(kind: str) -> None:
    """Their object is not even looked at, so that a new kind of event breaks nothing."""
    body = body_of(type=kind, data={"object": {"object": "thing"}})

    event = WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))

    assert (event.type, event.event) == (kind, None)


@pytest.mark.parametrize(
    ("kind", "news"),
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
    ],
)
def test_news_of_refunds_and_disputes_is_no_more_than_an_id(kind: str, news: WebhookEvent) -> None:
    """Whatever else the event shows may be old by now: it is not read."""
    body = body_of(type=kind, data={"object": {"id": "x_1", "amount": "lots", "status": 7}})

    event = WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))

    assert event.event == news


def test_an_event_of_a_connected_account_names_it() -> None:
    """So that the edge can leave it alone."""
    body = body_of(account="acct_1")

    event = WEBHOOKS.read(body, signature_of(body, NOW, OLD_SECRET))

    assert event.account == "acct_1"
