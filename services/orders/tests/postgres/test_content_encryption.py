"""Quarantined content in PostgreSQL, and payments whose content cannot be decrypted."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from servicekit.encryption import key_id_of

from ..builders import purchase, quarantine, quarantine_with_content
from ..calls import list_quarantined
from ..service import KEYS, OTHER_KEYS, Client, served

PERSONAL = ("Canaria Finch", "canary@aviary.example", "+15550142", "7 Perch Row", "Loft 9", "Nestville", "CV1 7QT")
CONTENT = "SELECT attempt_content FROM payments WHERE intent_id = $1"
UNKNOWN_KEY = pb.UnreadableContent(key_id="k2", cause=pb.UnreadableContent.CAUSE_UNKNOWN_KEY)


def recognisable() -> pb.QuarantinePaymentRequest:
    """Return a payment whose personal data can be recognised."""
    name, email, phone, line1, line2, city, postal_code = PERSONAL
    request = quarantine_with_content()
    request.context.contact.CopyFrom(common_pb2.Contact(name=name, email=email, phone=phone))
    request.context.shipping_address.CopyFrom(
        common_pb2.Address(line1=line1, line2=line2, city=city, postal_code=postal_code, country="GB")
    )
    return request


async def quarantined_with(database_url: str, keys: str, request: pb.QuarantinePaymentRequest) -> None:
    """Quarantine a payment through a service with these keys."""
    async with served(database_url, encryption_keys=keys) as channel:
        await Client(channel).QuarantinePayment(request)


async def stored_words(sql: Any) -> list[str]:
    """Return the personal data that is in any table."""
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    stored = [
        repr(dict(row))
        for (table,) in tables
        for row in await sql.fetch(f'SELECT * FROM "{table}"')  # noqa: S608 - the catalogue's own names
    ]
    return [word for word in PERSONAL if word in "".join(stored)]


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_p7_quarantined_content_is_encrypted(orders: Client, sql: Any, later: bool) -> None:  # noqa: FBT001 - a parameter
    """No personal data is in any table, and the service returns all of it; also content that is attached later."""
    request = recognisable()
    if later:
        await orders.QuarantinePayment(quarantine(pb.RecordPurchaseRequest(payment=request.payment)))

    await orders.QuarantinePayment(request)

    assert await stored_words(sql) == []
    assert [each.context for each in await list_quarantined(orders)] == [request.context]


async def test_without_keys_content_is_stored_as_it_is(database_url: str, sql: Any) -> None:
    """The test above would find the personal data."""
    await quarantined_with(database_url, "clear", recognisable())

    assert await stored_words(sql) == [*PERSONAL]


async def test_content_of_an_unknown_key_is_listed_and_logged(
    orders: Client, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With payment, reason and the key's id, beside readable content; the log names the intent, a metric counts."""
    unreadable, readable = quarantine_with_content(), quarantine_with_content()
    await quarantined_with(database_url, OTHER_KEYS, unreadable)
    await orders.QuarantinePayment(readable)
    metric, labels = "holdfast_quarantined_content_unreadable_total", {"cause": "unknown_key"}
    before = REGISTRY.get_sample_value(metric, labels) or 0

    newest, oldest = await list_quarantined(orders)

    (record,) = [each for each in caplog.records if each.message == "quarantined content cannot be decrypted"]
    assert (newest.payment, newest.context) == (readable.payment, readable.context)
    assert (oldest.payment, oldest.reason) == (unreadable.payment, unreadable.reason)
    assert (oldest.HasField("context"), oldest.unreadable_content) == (False, UNKNOWN_KEY)
    assert (record.levelname, record.__dict__["key_id"], record.__dict__["intent"]) == (
        "ERROR",
        "k2",
        unreadable.payment.intent.id,
    )
    assert REGISTRY.get_sample_value(metric, labels) == before + 1


async def test_p4_content_of_an_unknown_key_is_readable_once_the_key_is_back(orders: Client, database_url: str) -> None:
    """Content that arrived meanwhile has not replaced it."""
    request, other = quarantine_with_content(), quarantine_with_content()
    await quarantined_with(database_url, OTHER_KEYS, request)
    other.payment.CopyFrom(request.payment)
    other.context.contact.name = "Somebody Else"
    meanwhile = await orders.QuarantinePayment(other)

    async with served(database_url, encryption_keys=f"{KEYS},{OTHER_KEYS}") as channel:
        (listed,) = await list_quarantined(Client(channel))

    assert meanwhile.already_recorded
    assert meanwhile.decision.quarantined_payment.unreadable_content == UNKNOWN_KEY
    assert listed.context == request.context


async def test_p3_content_of_an_unknown_key_does_not_change_the_decision(orders: Client, database_url: str) -> None:
    """A report returns the quarantine; a missing attempt has no content, and is promoted."""
    decided, missing = purchase(), purchase()
    mismatch = quarantine(decided, pb.QUARANTINE_REASON_INTENT_MISMATCH, with_content=True)
    await quarantined_with(database_url, OTHER_KEYS, mismatch)
    await quarantined_with(database_url, OTHER_KEYS, quarantine(missing))

    recorded = await orders.RecordPurchase(decided)
    promoted = await orders.RecordPurchase(missing)

    assert recorded.already_recorded
    assert recorded.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_INTENT_MISMATCH
    assert recorded.decision.quarantined_payment.unreadable_content == UNKNOWN_KEY
    assert promoted.decision.HasField("purchase")


async def test_p7_content_of_another_payment_is_not_authentic(orders: Client, sql: Any) -> None:
    """Content is bound to its intent: one buyer's cannot be put in place of another's."""
    one, other = quarantine_with_content(), quarantine_with_content()
    await orders.QuarantinePayment(one)
    await orders.QuarantinePayment(other)
    await sql.execute("UPDATE payments SET attempt_content = $1", await sql.fetchval(CONTENT, other.payment.intent.id))

    newest, oldest = await list_quarantined(orders)

    assert newest.context == other.context
    assert oldest.unreadable_content == pb.UnreadableContent(
        key_id="k1", cause=pb.UnreadableContent.CAUSE_NOT_AUTHENTIC
    )


@pytest.mark.parametrize("stored", [b"", b"\x00\xff\xff", b"\x01", b"\x01\x02k1", b"\x0a\x03abc"])
@pytest.mark.parametrize("keys", [KEYS, "clear"])
async def test_damaged_content_is_listed_as_unreadable(database_url: str, sql: Any, keys: str, stored: bytes) -> None:
    """The payment is listed with any bytes in the column."""
    request = quarantine_with_content()
    async with served(database_url, encryption_keys=keys) as channel:
        await Client(channel).QuarantinePayment(request)
        await sql.execute("UPDATE payments SET attempt_content = $1", stored)

        (listed,) = await list_quarantined(Client(channel))

    assert listed.payment == request.payment
    assert listed.unreadable_content.cause != pb.UnreadableContent.CAUSE_UNSPECIFIED


async def test_encryption_can_be_introduced_later(database_url: str, sql: Any) -> None:
    """Content without encryption stays readable while `clear` is among the keys; new content is encrypted."""
    before, after = quarantine_with_content(), quarantine_with_content()
    await quarantined_with(database_url, "clear", before)

    async with served(database_url, encryption_keys=f"{KEYS},clear") as channel:
        await Client(channel).QuarantinePayment(after)
        listed = await list_quarantined(Client(channel))

    keys = [key_id_of(await sql.fetchval(CONTENT, each.payment.intent.id)) for each in listed]
    assert [each.context for each in listed] == [after.context, before.context]
    assert keys == ["k1", "clear"]
