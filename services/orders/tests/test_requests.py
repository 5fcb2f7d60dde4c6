"""Rules of the requests: a request that breaks one rule is refused by field. checkout_rules tests those of carts."""

from collections.abc import Callable

import pytest

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from orders.api.purchases import (
    read_attempt_id,
    read_order_id,
    read_orders_page,
    read_paid_attempt,
    read_quarantine_page,
    read_quarantined,
)
from orders.domain.pagination import Cursor, PageRequest, write_page_token
from orders.domain.payments import ReportChannel
from orders.domain.purchases import QuarantineReason
from servicekit.violations import InvalidRequest

from .reports import aside, purchase
from .test_pages import AT

Purchase = pb.RecordPurchaseRequest
Aside = pb.QuarantinePaymentRequest

LONG = 5001


def fields_refused(read: Callable[[], object]) -> list[str]:
    """Return the paths of the violations."""
    with pytest.raises(InvalidRequest) as refused:
        read()
    return [violation.field for violation in refused.value.violations]


def ask_for_one_cent_more(report: Purchase) -> None:
    """Let Stripe receive the total, and the total be no sum of anything."""
    report.context.total.minor_units += 1
    report.payment.received.CopyFrom(report.context.total)


SPOILED: list[tuple[str, Callable[[Purchase], object], list[str]]] = [
    ("no intent id", lambda r: r.payment.intent.ClearField("id"), ["payment.intent.id"]),
    ("long intent id", lambda r: setattr(r.payment.intent, "id", "p" * 256), ["payment.intent.id"]),
    ("no kind", lambda r: r.payment.intent.ClearField("kind"), ["payment.intent.kind"]),
    ("kind of a later version", lambda r: r.payment.intent.MergeFromString(b"\x10\x63"), ["payment.intent.kind"]),
    ("no attempt id", lambda r: r.payment.ClearField("attempt_id"), ["payment.attempt_id"]),
    ("NUL in attempt id", lambda r: setattr(r.payment, "attempt_id", "a\0"), ["payment.attempt_id"]),
    ("nothing received", lambda r: r.payment.ClearField("received"), ["payment.received"]),
    (
        "one cent less received",
        lambda r: setattr(r.payment.received, "minor_units", r.payment.received.minor_units - 1),
        ["payment.received"],
    ),
    ("received in another currency", lambda r: setattr(r.payment.received, "currency", "usd"), ["payment.received"]),
    ("the total not the sum", ask_for_one_cent_more, ["context.total.minor_units"]),
    ("no context", lambda r: r.ClearField("context"), ["context"]),
    (
        "a long payment method",
        lambda r: setattr(r.payment, "payment_method_id", "p" * 256),
        ["payment.payment_method_id"],
    ),
    ("no channel", lambda r: r.report.ClearField("channel"), ["report.channel"]),
    ("a webhook of no event", lambda r: r.report.ClearField("stripe_event_id"), ["report.stripe_event_id"]),
    (
        "an event of no webhook",
        lambda r: setattr(r.report, "channel", pb.REPORT_CHANNEL_BROWSER_RETURN),
        ["report.stripe_event_id"],
    ),
]


@pytest.mark.parametrize(
    ("spoil", "fields"), [(case[1], case[2]) for case in SPOILED], ids=[case[0] for case in SPOILED]
)
def test_a_spoiled_purchase_is_refused_by_field(spoil: Callable[[Purchase], object], fields: list[str]) -> None:
    """Each violation names the field by its path."""
    report = purchase()
    spoil(report)

    assert fields_refused(lambda: read_paid_attempt(report)) == fields


def test_a_valid_purchase_is_read() -> None:
    """The request that every other test here spoils has no fault."""
    report = purchase()

    paid = read_paid_attempt(report)

    assert paid.context.items_minor + paid.context.shipping_minor == paid.context.total.minor_units == 7990
    assert paid.content.serialized == report.context.SerializeToString()
    assert paid.report.channel is ReportChannel.WEBHOOK


ASIDE_SPOILED: list[tuple[str, Callable[[Aside], object], str]] = [
    ("no reason", lambda r: r.ClearField("reason"), "reason"),
    ("nothing received", lambda r: r.payment.ClearField("received"), "payment.received"),
    (
        "a negative sum",
        lambda r: setattr(r.payment.received, "minor_units", -1),
        "payment.received.minor_units",
    ),
    (
        "an upper-case currency",
        lambda r: setattr(r.payment.received, "currency", "EUR"),
        "payment.received.currency",
    ),
    (
        "a setup with a sum",
        lambda r: setattr(r.payment.intent, "kind", common_pb2.Intent.KIND_SETUP),
        "payment.received",
    ),
    ("no attempt id", lambda r: r.payment.ClearField("attempt_id"), "payment.attempt_id"),
    ("content of a missing attempt", lambda r: r.context.SetInParent(), "context"),
    ("no channel", lambda r: r.report.ClearField("channel"), "report.channel"),
]


@pytest.mark.parametrize(
    ("spoil", "field"), [(case[1], case[2]) for case in ASIDE_SPOILED], ids=[case[0] for case in ASIDE_SPOILED]
)
def test_a_spoiled_quarantine_is_refused_by_field(spoil: Callable[[Aside], object], field: str) -> None:
    """Each violation names the field by its path."""
    asked = aside(purchase())
    spoil(asked)

    assert fields_refused(lambda: read_quarantined(asked)) == [field]


def test_p4_a_quarantine_takes_content_that_no_purchase_could() -> None:
    """It is kept whole; only the user id must fit its column."""
    asked = aside(purchase(), pb.QUARANTINE_REASON_UNRECORDABLE)
    asked.context.user_id = "user\0"

    quarantined = read_quarantined(asked)

    assert quarantined.reason is QuarantineReason.UNRECORDABLE
    assert quarantined.content is not None
    assert quarantined.content.user_id is None
    assert quarantined.content.serialized == asked.context.SerializeToString()


@pytest.mark.parametrize(
    "order_id", ["", "1", "0B8E3A52-5C8F-4F7E-9A53-6C0F3C1F2A10", "0b8e3a525c8f4f7e9a536c0f3c1f2a10"]
)
def test_an_order_id_is_a_canonical_uuid(order_id: str) -> None:
    """Anything else names no order."""
    assert fields_refused(lambda: read_order_id(pb.GetOrderRequest(order_id=order_id))) == ["order_id"]


@pytest.mark.parametrize("attempt_id", ["", "a" * 501, "\0"])
def test_an_attempt_id_is_a_short_text(attempt_id: str) -> None:
    """Anything else names no attempt."""
    assert fields_refused(lambda: read_attempt_id(pb.GetPurchaseRequest(attempt_id=attempt_id))) == ["attempt_id"]


@pytest.mark.parametrize("size", [-1, 101])
def test_a_page_has_at_most_100_rows(size: int) -> None:
    """In both lists."""
    orders_page = pb.ListOrdersRequest(user_id="user_1", page_size=size)
    quarantine_page = pb.ListQuarantinedPaymentsRequest(page_size=size)

    assert fields_refused(lambda: read_orders_page(orders_page)) == ["page_size"]
    assert fields_refused(lambda: read_quarantine_page(quarantine_page)) == ["page_size"]


def test_pages_have_a_usual_size() -> None:
    """20 orders, 50 quarantined payments."""
    assert read_orders_page(pb.ListOrdersRequest(user_id="user_1")).page == PageRequest(20, None)
    assert read_quarantine_page(pb.ListQuarantinedPaymentsRequest()) == PageRequest(50, None)


@pytest.mark.parametrize(
    "token",
    [
        "garbage",
        write_page_token("quarantine", Cursor(AT, "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10")),
        write_page_token("orders", Cursor(AT, "pi_1")),
    ],
)
def test_a_token_of_another_list_is_refused(token: str) -> None:
    """Only what a page of orders ended with begins the next one."""
    request = pb.ListOrdersRequest(user_id="user_1", page_token=token)

    assert fields_refused(lambda: read_orders_page(request)) == ["page_token"]


def test_whose_orders_must_be_said() -> None:
    """Nobody lists everybody's orders."""
    assert fields_refused(lambda: read_orders_page(pb.ListOrdersRequest())) == ["user_id"]
