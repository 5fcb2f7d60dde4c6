"""The database keeps the promises itself: whoever writes to it directly is refused too."""

from typing import Any

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import pytest

from .reports import aside, purchase
from .service import Client

SECOND_PURCHASE = """
    INSERT INTO payments (intent_id, kind, attempt_id, outcome, amount_minor, currency, livemode, channel, decided_at)
    SELECT 'pi_second', kind, attempt_id, outcome, amount_minor, currency, livemode, channel, decided_at FROM payments
"""

ORDER = """
    INSERT INTO orders (id, number, payment_intent_id, status, total_minor, items_minor, shipping_minor, currency,
                        contact_name, contact_email, created_at)
    SELECT gen_random_uuid(), 'another', intent_id, 'paid', {total}, {total}, 0, '{currency}', 'n', 'e', now()
      FROM payments
"""

REFUSED = {
    "payments_one_purchase_per_attempt": SECOND_PURCHASE,
    "payments_pkey": SECOND_PURCHASE.replace("'pi_second'", "intent_id"),
    "payments_reason_iff_quarantined_check": "UPDATE payments SET quarantine_reason = 'unrecordable'",
    "payments_content_only_quarantined_check": "UPDATE payments SET attempt_content = 'x'",
    "payments_resolved_only_quarantined_check": "UPDATE payments SET resolved_at = now()",
    "payments_amount_unless_setup_aside_check": "UPDATE payments SET amount_minor = NULL, currency = NULL",
    "payments_setup_takes_nothing_check": "UPDATE payments SET kind = 'setup'",
    "payments_currency_check": "UPDATE payments SET currency = 'EUR'",
    "orders_total_is_what_was_received": "UPDATE payments SET amount_minor = amount_minor + 1",
    "orders_total_is_items_and_shipping_check": "UPDATE orders SET items_minor = items_minor - 1",
    "orders_sums_check": "UPDATE orders SET items_minor = total_minor + 1, shipping_minor = -1",
    "orders_no_shipping_no_amount_check": "UPDATE orders SET shipping_rate_id = NULL, shipping_rate_name = NULL",
    "orders_rate_whole_or_none_check": "UPDATE orders SET shipping_rate_name = NULL",
    "orders_address_whole_or_none_check": "UPDATE orders SET shipping_country = NULL",
    "orders_contact_unless_erased_check": "UPDATE orders SET contact_email = NULL",
    "orders_payment_outcome_check": "UPDATE orders SET payment_outcome = 'quarantined'",
    "orders_payment_intent_id_key": ORDER.format(total=7990, currency="eur"),
    "order_items_quantity_check": "UPDATE order_items SET quantity = 0",
    "order_items_unit_amount_minor_check": "UPDATE order_items SET unit_amount_minor = -1",
    "order_items_order_id_fkey": "DELETE FROM orders",
}


NAMING_SOMEBODY = {
    "orders_erased_holds_nobody_check": "UPDATE orders SET shipping_city = 'London'",
    "payments_erased_holds_nobody_check": "UPDATE payments SET user_id = 'user_1'",
    "outbox_ids_and_sums_only_check": """UPDATE outbox SET payload = payload || '{"email": "ada@shop.example"}'""",
}


@pytest.mark.parametrize("constraint", NAMING_SOMEBODY)
async def test_p7_what_is_erased_stays_erased(orders: Client, sql: Any, constraint: str) -> None:
    """Nothing that says who bought comes back into an erased row, and nothing ever goes into the outbox."""
    await orders.RecordPurchase(purchase())
    await sql.execute(
        "UPDATE orders SET erased_at = now(), user_id = NULL, contact_name = NULL, contact_email = NULL,"
        " contact_phone = NULL, shipping_line1 = NULL, shipping_line2 = NULL, shipping_city = NULL,"
        " shipping_postal_code = NULL, shipping_country = NULL"
    )
    await sql.execute("UPDATE payments SET erased_at = now(), user_id = NULL")

    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await sql.execute(NAMING_SOMEBODY[constraint])

    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize("constraint", REFUSED)
async def test_p3_p5_a_purchase_cannot_be_falsified(orders: Client, sql: Any, constraint: str) -> None:
    """Each constraint is what refuses the statement that breaks it."""
    await orders.RecordPurchase(purchase())

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await sql.execute(REFUSED[constraint])

    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("total", "currency"), [(7989, "eur"), (7991, "eur"), (7990, "usd")])
async def test_p5_an_order_with_another_total_is_refused(orders: Client, sql: Any, total: int, currency: str) -> None:
    """The foreign key ties the total and the currency to what Stripe received."""
    await orders.RecordPurchase(purchase())
    await sql.execute("DELETE FROM order_items")
    await sql.execute("DELETE FROM orders")

    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await sql.execute(ORDER.format(total=total, currency=currency))

    assert refused.value.constraint_name == "orders_total_is_what_was_received"


async def test_p3_an_order_of_a_quarantined_payment_is_refused(orders: Client, sql: Any) -> None:
    """Never both."""
    await orders.QuarantinePayment(aside(purchase()))

    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await sql.execute(ORDER.format(total=7990, currency="eur"))

    assert refused.value.constraint_name == "orders_total_is_what_was_received"


async def test_p3_a_purchase_with_an_order_cannot_turn_into_a_quarantine(orders: Client, sql: Any) -> None:
    """Never both, this way round."""
    await orders.RecordPurchase(purchase())

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await sql.execute("UPDATE payments SET outcome = 'quarantined', quarantine_reason = 'unrecordable'")
