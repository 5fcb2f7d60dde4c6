"""Quarantined content at rest: what is in PostgreSQL, and what happens when it cannot be read."""

import base64
from typing import Any

import pytest
from prometheus_client import REGISTRY

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from servicekit.encryption import key_id_of

from .reports import aside, purchase
from .service import KEYS, Client, served, settings_for

OTHER_KEY = "k2:" + base64.b64encode(bytes(range(1, 33))).decode()
PERSONAL = (
    b"Canaria Finch",
    b"canary@aviary.example",
    b"+15550142",
    b"7 Perch Row",
    b"Loft 9",
    b"Nestville",
    b"CV1 7QT",
)
CONTENT = "SELECT attempt_content FROM payments WHERE intent_id = $1"


def mismatched() -> pb.QuarantinePaymentRequest:
    """Return a payment to set aside with content in which every personal field can be recognised."""
    asked = aside(purchase(), pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
    name, email, phone, line1, line2, city, postal_code = (value.decode() for value in PERSONAL)
    asked.context.contact.CopyFrom(common_pb2.Contact(name=name, email=email, phone=phone))
    asked.context.shipping_address.CopyFrom(
        common_pb2.Address(line1=line1, line2=line2, city=city, postal_code=postal_code, country="GB")
    )
    return asked


async def set_aside(database_url: str, asked: pb.QuarantinePaymentRequest, keys: str) -> pb.QuarantinePaymentResponse:
    """Set a payment aside through a service with these keys."""
    async with served(settings_for(database_url, encryption_keys=keys)) as channel:
        return await Client(channel).QuarantinePayment(asked)


async def listed(orders: Client) -> list[pb.QuarantinedPayment]:
    """Return the quarantined payments."""
    return list((await orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest())).quarantined_payments)


async def everything_in(sql: Any) -> bytes:
    """Return every row of every table, with what is in its byte columns."""
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return b"\n".join(
        [
            repr(dict(row)).encode()
            for (table,) in tables
            for row in await sql.fetch(f'SELECT * FROM "{table}"')  # noqa: S608 - the catalogue's own names
        ]
    )


async def test_p7_quarantined_content_is_encrypted(orders: Client, sql: Any) -> None:
    """Nothing that the buyer typed is in any table; the service answers it all."""
    asked = mismatched()

    answer = await orders.QuarantinePayment(asked)

    held = await everything_in(sql)
    assert [word for word in PERSONAL if word in held] == []
    assert asked.payment.intent.id.encode() in held
    assert answer.decision.quarantined_payment.context == asked.context
    assert [each.context for each in await listed(orders)] == [asked.context]


async def test_p7_content_that_comes_later_is_encrypted(orders: Client, sql: Any) -> None:
    """A payment that waited for its attempt takes the content sealed as well."""
    asked = mismatched()
    await orders.QuarantinePayment(
        pb.QuarantinePaymentRequest(
            payment=asked.payment, reason=pb.QUARANTINE_REASON_ATTEMPT_MISSING, report=asked.report
        )
    )

    await orders.QuarantinePayment(asked)

    held = await everything_in(sql)
    assert [word for word in PERSONAL if word in held] == []
    assert [each.context for each in await listed(orders)] == [asked.context]


async def test_without_keys_the_database_holds_it_all(database_url: str, sql: Any) -> None:
    """The control of the tests above: they would see the buyer's data if it were there."""
    await set_aside(database_url, mismatched(), "clear")

    held = await everything_in(sql)
    assert [word for word in PERSONAL if word not in held] == []


async def test_a_payment_of_an_unknown_key_is_listed_and_says_so(orders: Client, database_url: str) -> None:
    """With payment, reason and the key's id, beside those that can be read."""
    unreadable, readable = mismatched(), mismatched()
    await set_aside(database_url, unreadable, OTHER_KEY)
    await orders.QuarantinePayment(readable)

    newest, oldest = await listed(orders)

    assert (newest.payment, newest.context) == (readable.payment, readable.context)
    assert (oldest.payment, oldest.reason) == (unreadable.payment, unreadable.reason)
    assert not oldest.HasField("context")
    assert oldest.unreadable_content == pb.UnreadableContent(key_id="k2", cause=pb.UnreadableContent.CAUSE_UNKNOWN_KEY)


async def test_a_payment_of_an_unknown_key_can_be_read_once_the_key_is_back(orders: Client, database_url: str) -> None:
    """Nothing was lost, and content that was brought meanwhile has not replaced it."""
    asked = mismatched()
    await set_aside(database_url, asked, OTHER_KEY)
    other = mismatched()
    other.payment.CopyFrom(asked.payment)
    other.context.contact.name = "Somebody Else"
    meanwhile = await orders.QuarantinePayment(other)

    async with served(settings_for(database_url, encryption_keys=f"{KEYS},{OTHER_KEY}")) as channel:
        (found,) = await listed(Client(channel))

    assert meanwhile.already_recorded
    assert meanwhile.decision.quarantined_payment.unreadable_content.key_id == "k2"
    assert found.context == asked.context


async def test_p3_a_payment_of_an_unknown_key_keeps_its_decision(orders: Client, database_url: str) -> None:
    """Reporting it again, by whatever channel, answers the quarantine."""
    report = purchase()
    await set_aside(database_url, aside(report, pb.QUARANTINE_REASON_INTENT_MISMATCH, with_content=True), OTHER_KEY)

    recorded = await orders.RecordPurchase(report)

    assert recorded.already_recorded
    assert recorded.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_INTENT_MISMATCH
    assert recorded.decision.quarantined_payment.unreadable_content.key_id == "k2"


async def test_p3_a_missing_attempt_is_promoted_whatever_the_keys(orders: Client, database_url: str) -> None:
    """It has no content that could be unreadable."""
    report = purchase()
    await set_aside(database_url, aside(report), OTHER_KEY)

    recorded = await orders.RecordPurchase(report)

    assert recorded.decision.purchase.attempt_id == report.payment.attempt_id


async def test_content_of_another_payment_in_its_place_is_noticed(orders: Client, sql: Any) -> None:
    """Whoever can write to the database cannot make one buyer's content pass for another's."""
    one, other = mismatched(), mismatched()
    await orders.QuarantinePayment(one)
    await orders.QuarantinePayment(other)
    theirs = await sql.fetchval(CONTENT, other.payment.intent.id)
    await sql.execute("UPDATE payments SET attempt_content = $1", theirs)

    newest, oldest = await listed(orders)

    assert newest.context == other.context
    assert oldest.unreadable_content == pb.UnreadableContent(
        key_id="k1", cause=pb.UnreadableContent.CAUSE_NOT_AUTHENTIC
    )


@pytest.mark.parametrize("planted", [b"", b"\x00\xff\xff", b"\x01", b"\x01\x02k1", b"\x0a\x03abc"])
@pytest.mark.parametrize("keys", [KEYS, "clear"])
async def test_planted_content_never_breaks_the_list(database_url: str, sql: Any, keys: str, planted: bytes) -> None:
    """Whatever bytes are in the column, the payment is listed."""
    asked = mismatched()
    await set_aside(database_url, asked, keys)
    await sql.execute("UPDATE payments SET attempt_content = $1", planted)

    async with served(settings_for(database_url, encryption_keys=keys)) as channel:
        (found,) = await listed(Client(channel))

    assert found.payment == asked.payment
    assert found.unreadable_content.cause != pb.UnreadableContent.CAUSE_UNSPECIFIED


async def test_encryption_is_introduced_while_content_is_stored(database_url: str, sql: Any) -> None:
    """What was stored in the clear stays readable while `clear` is among the keys; what comes then is sealed."""
    before, after = mismatched(), mismatched()
    await set_aside(database_url, before, "clear")
    await set_aside(database_url, after, f"{KEYS},clear")

    async with served(settings_for(database_url, encryption_keys=f"{KEYS},clear")) as channel:
        found = await listed(Client(channel))

    assert [each.context for each in found] == [after.context, before.context]
    assert [key_id_of(await sql.fetchval(CONTENT, each.payment.intent.id)) for each in found] == ["k1", "clear"]


async def test_an_operator_is_told_which_key_is_missing(
    orders: Client, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the key and the intent, and a metric counts it."""
    asked = mismatched()
    await set_aside(database_url, asked, OTHER_KEY)
    metric, labels = "orders_quarantined_content_unreadable_total", {"cause": "unknown_key"}
    before = REGISTRY.get_sample_value(metric, labels) or 0

    await listed(orders)

    (record,) = [each for each in caplog.records if each.getMessage() == "quarantined content cannot be read"]
    told = record.__dict__
    assert (record.levelname, told["key_id"], told["intent"]) == ("ERROR", "k2", asked.payment.intent.id)
    assert REGISTRY.get_sample_value(metric, labels) == before + 1
