"""Constraints of the tables: a statement that breaks a promise is rejected, whoever executes it."""

from typing import Any

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import pytest

from orders.postgres.table_base import PERSONAL_COLUMNS

from ..builders import (
    cart,
    dispute,
    invoice,
    mixed_cart,
    purchase,
    quarantine,
    quarantine_with_content,
    recurring_line,
    refund,
)
from ..calls import activate, put_customer
from ..service import Client

SECOND_PURCHASE = """
    INSERT INTO payments (intent_id, kind, attempt_id, outcome, amount_minor, currency, livemode, intent_created_at,
                          channel, decided_at)
    SELECT {intent_id}, kind, attempt_id, outcome, amount_minor, currency, livemode, intent_created_at, channel,
           decided_at
      FROM payments
"""
ANOTHER_ORDER = """
    INSERT INTO orders (id, number, payment_intent_id, status, total_minor, items_minor, shipping_minor, currency,
                        contact_name, contact_email, created_at)
    SELECT gen_random_uuid(), 'another', intent_id, 'paid', {total}, {total}, 0, '{currency}', 'n', 'e', now()
      FROM payments
"""
ANOTHER_SUBSCRIPTION = """
    INSERT INTO subscriptions (id, checkout_attempt_id, intent_id, stripe_customer_id, stripe_payment_method_id,
                               status, interval, interval_count, trial_days, currency, position, contact_name,
                               contact_email, created_at)
    SELECT gen_random_uuid(), {attempt_id}, intent_id, 'cus', 'pm', 'pending', '{interval}', 1, 0, {currency}, 0, 'n',
           'e', now()
      FROM payments
"""
OPERATOR_ACTION = """
    INSERT INTO operator_actions VALUES
        (gen_random_uuid(), now(), 'op', 'settle_payment', 'pi', '{reason}', '{{}}', '{after}')
"""
CLEARED = ", ".join(f"{name} = NULL" for name in PERSONAL_COLUMNS if name != "shipping_city")

ORDER = {
    "payments_one_purchase_per_attempt": SECOND_PURCHASE.format(intent_id="'pi_second'"),
    "payments_pkey": SECOND_PURCHASE.format(intent_id="intent_id"),
    "payments_reason_iff_quarantined_check": "UPDATE payments SET quarantine_reason = 'unrecordable'",
    "payments_content_only_if_quarantined_check": "UPDATE payments SET attempt_content = 'x'",
    "payments_encrypted_content_with_key_check": "UPDATE payments SET encrypted_key_id = 's1'",
    "payments_reason_before_refund_check": "UPDATE payments SET reason_before_refund = 'unrecordable'",
    "payments_resolved_only_if_quarantined_check": "UPDATE payments SET resolved_at = now()",
    "payments_no_refund_begun_of_purchase_check": "UPDATE payments SET refund_begun_at = now()",
    "payments_order_iff_settled_as_order_check": "UPDATE payments SET settlement = 'refunded'",
    "payments_amount_unless_quarantined_setup_check": "UPDATE payments SET amount_minor = NULL, currency = NULL",
    "payments_setup_amount_is_zero_check": "UPDATE payments SET kind = 'setup'",
    "payments_currency_check": "UPDATE payments SET currency = 'EUR'",
    "payments_erased_has_no_personal_data_check": "UPDATE payments SET erased_at = now()",
    "orders_total_equals_payment_fkey": "UPDATE payments SET amount_minor = amount_minor + 1",
    "orders_total_is_items_shipping_and_adjustment_check": "UPDATE orders SET items_minor = items_minor - 1",
    "orders_amounts_check": "UPDATE orders SET items_minor = total_minor + 1, shipping_minor = -1",
    "orders_shipping_amount_needs_rate_check": "UPDATE orders SET shipping_rate_id = NULL, shipping_rate_name = NULL",
    "orders_shipping_rate_complete_check": "UPDATE orders SET shipping_rate_name = NULL",
    "orders_address_complete_check": "UPDATE orders SET shipping_country = NULL",
    "orders_contact_unless_erased_check": "UPDATE orders SET contact_email = NULL",
    "orders_erased_has_no_personal_data_check": f"UPDATE orders SET erased_at = now(), {CLEARED}",  # noqa: S608 - our own names
    "orders_payment_outcome_check": "UPDATE orders SET payment_outcome = 'quarantined'",
    "orders_payment_intent_id_key": ANOTHER_ORDER.format(total=7990, currency="eur"),
    "order_items_quantity_check": "UPDATE order_items SET quantity = 0",
    "order_items_unit_amount_minor_check": "UPDATE order_items SET unit_amount_minor = -1",
    "order_items_order_id_fkey": "DELETE FROM orders",
    "outbox_no_personal_data_check": """UPDATE outbox SET payload = payload || '{"email": "ada@shop.example"}'""",
    "operator_actions_operator_and_reason_check": OPERATOR_ACTION.format(reason="", after="{}"),
    "operator_actions_no_personal_data_check": OPERATOR_ACTION.format(
        reason="r", after='{"email": "ada@shop.example"}'
    ),
}

SUBSCRIPTION = {
    "subscriptions_one_per_interval": ANOTHER_SUBSCRIPTION.format(
        attempt_id="attempt_id", interval="month", currency="currency"
    ),
    "subscriptions_belong_to_purchase_fkey": ANOTHER_SUBSCRIPTION.format(
        attempt_id="NULL", interval="month", currency="'usd'"
    ),
    "subscriptions_stripe_id_iff_activated_check": "UPDATE subscriptions SET status = 'active'",
    "subscriptions_stripe_state_needs_stripe_id_check": "UPDATE subscriptions SET ended_at = now()",
    "subscriptions_cancelled_has_ended_check": "UPDATE subscriptions SET cancel_requested_at = now()",
    "subscriptions_pending_can_be_created_check": "UPDATE subscriptions SET stripe_payment_method_id = NULL",
    "subscriptions_failure_iff_failed_check": "UPDATE subscriptions SET activation_failure = 'resource_missing',"
    " activation_failed_at = now()",
    "subscriptions_failed_has_time_check": "UPDATE subscriptions SET status = 'activation_failed',"
    " activation_failure = 'resource_missing'",
    "subscriptions_trial_days_check": "UPDATE subscriptions SET trial_days = 731",
    "subscriptions_activation_generation_check": "UPDATE subscriptions SET activation_generation = 0",
    "subscriptions_version_check": "UPDATE subscriptions SET version = 0",
    "subscriptions_position_check": "UPDATE subscriptions SET position = -1",
    "subscriptions_interval_count_check": "UPDATE subscriptions SET interval_count = 0",
    "subscriptions_payment_outcome_check": "UPDATE subscriptions SET payment_outcome = 'quarantined'",
    "subscriptions_address_complete_check": "UPDATE subscriptions SET shipping_country = NULL",
    "subscriptions_contact_unless_erased_check": "UPDATE subscriptions SET contact_email = NULL",
    "subscriptions_erased_has_no_personal_data_check": "UPDATE subscriptions SET erased_at = now()",
    "subscription_items_quantity_check": "UPDATE subscription_items SET quantity = 0",
    "subscription_items_unit_amount_minor_check": "UPDATE subscription_items SET unit_amount_minor = -1",
    "subscription_items_subscription_id_fkey": "UPDATE subscription_items SET subscription_id = gen_random_uuid()",
    "payments_setup_amount_is_zero_check": "UPDATE payments SET amount_minor = 1",
    "payments_amount_unless_quarantined_setup_check": "UPDATE payments SET amount_minor = NULL, currency = NULL",
}

MIRROR = {
    "subscriptions_stripe_id_iff_activated_check": "UPDATE subscriptions SET stripe_subscription_id = NULL",
    "subscription_invoices_pkey": "INSERT INTO subscription_invoices SELECT * FROM subscription_invoices",
    "subscription_invoices_amount_paid_minor_check": "UPDATE subscription_invoices SET amount_paid_minor = -1",
    "subscription_invoices_attempt_count_check": "UPDATE subscription_invoices SET attempt_count = -1",
    "subscription_invoices_currency_check": "UPDATE subscription_invoices SET currency = 'EUR'",
    "subscription_invoices_subscription_id_fkey": "DELETE FROM subscription_items; DELETE FROM"
    " subscription_billed_items; DELETE FROM subscriptions",
    "subscription_billed_items_subscription_id_fkey": "DELETE FROM subscription_items; DELETE FROM"
    " subscription_invoices; DELETE FROM subscriptions",
    "subscription_billed_items_pkey": "INSERT INTO subscription_billed_items SELECT * FROM subscription_billed_items",
    "subscription_billed_items_quantity_check": "UPDATE subscription_billed_items SET quantity = -1",
    "subscription_billed_items_unit_amount_minor_check": "UPDATE subscription_billed_items SET unit_amount_minor = -1",
    "subscription_billed_items_interval_count_check": "UPDATE subscription_billed_items SET interval_count = 0",
    "subscription_billed_items_currency_check": "UPDATE subscription_billed_items SET currency = 'EUR'",
    "subscriptions_pause_complete_check": "UPDATE subscriptions SET pause_resumes_at = now()",
    "subscriptions_discounts_check": "UPDATE subscriptions SET discounts = '{}'",
    "customers_pkey": "INSERT INTO customers VALUES ('cus_1', 'user_1', 'usd')",
    "customers_user_id_currency_key": "INSERT INTO customers VALUES ('cus_2', 'user_1', 'eur')",
    "customers_owner_unless_erased_check": "UPDATE customers SET erased_at = now()",
    "customers_currency_check": "UPDATE customers SET currency = 'EUR'",
    **{
        f"{table}_{constraint}": statement.format(table=table)
        for table in ("refunds", "disputes")
        for constraint, statement in {
            "pkey": "INSERT INTO {table} SELECT * FROM {table}",
            "amount_minor_check": "UPDATE {table} SET amount_minor = -1",
            "currency_check": "UPDATE {table} SET currency = 'EUR'",
            "version_check": "UPDATE {table} SET version = 0",
        }.items()
    },
}


async def violated_constraint(sql: Any, statement: str) -> str:
    """Return the constraint that rejects a statement."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as rejected:
        await sql.execute(statement)
    return str(rejected.value.constraint_name)


async def violated_constraints(sql: Any, statements: dict[str, str]) -> dict[str, str]:
    """Return the constraint that rejects each statement, by the one that should."""
    return {expected: await violated_constraint(sql, statement) for expected, statement in statements.items()}


async def test_p3_p5_p7_an_order_cannot_be_falsified(orders: Client, sql: Any) -> None:
    """Its payment, its sums, its items, and that an erased row or the outbox gets personal data."""
    await orders.RecordPurchase(purchase())

    violated = await violated_constraints(sql, ORDER)

    assert violated == {name: name for name in ORDER}


async def test_p3_a_subscription_cannot_be_falsified(orders: Client, sql: Any) -> None:
    """Its purchase, its interval and its activation."""
    await orders.RecordPurchase(cart(recurring_line(1)))

    violated = await violated_constraints(sql, SUBSCRIPTION)

    assert violated == {name: name for name in SUBSCRIPTION}


async def test_copies_of_stripes_objects_cannot_be_falsified(orders: Client, sql: Any) -> None:
    """Invoices, customers, refunds and disputes."""
    recorded = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions[0]
    await activate(orders, recorded, None, invoice())
    await put_customer(orders, "cus_1")
    await orders.ApplyRefund(refund("pi_1"))
    await orders.ApplyDispute(dispute("pi_1"))

    violated = await violated_constraints(sql, MIRROR)

    assert violated == {name: name for name in MIRROR}


@pytest.mark.parametrize(("total", "currency"), [(7989, "eur"), (7991, "eur"), (7990, "usd")])
async def test_p5_an_order_with_another_total_is_rejected(orders: Client, sql: Any, total: int, currency: str) -> None:
    """Total and currency must be those that Stripe received."""
    await orders.RecordPurchase(purchase())
    await sql.execute("DELETE FROM order_items; DELETE FROM orders")

    violated = await violated_constraint(sql, ANOTHER_ORDER.format(total=total, currency=currency))

    assert violated == "orders_total_equals_payment_fkey"


async def test_p3_a_quarantined_payment_has_neither_order_nor_subscription(orders: Client, sql: Any) -> None:
    """None can be added, and a purchase with one cannot become a quarantine."""
    await orders.QuarantinePayment(quarantine(purchase()))
    violated = [
        await violated_constraint(sql, ANOTHER_ORDER.format(total=7990, currency="eur")),
        await violated_constraint(
            sql, ANOTHER_SUBSCRIPTION.format(attempt_id="NULL", interval="month", currency="currency")
        ),
    ]
    await sql.execute("DELETE FROM payments")
    await orders.RecordPurchase(mixed_cart())

    violated.append(
        await violated_constraint(
            sql, "UPDATE payments SET outcome = 'quarantined', quarantine_reason = 'unrecordable'"
        )
    )

    assert violated[:2] == ["orders_total_equals_payment_fkey", "subscriptions_belong_to_purchase_fkey"]
    assert violated[2] in violated[:2]


async def test_a_quarantined_payment_has_one_content(orders: Client, sql: Any) -> None:
    """Readable content replaces the encrypted one."""
    await orders.QuarantinePayment(quarantine_with_content())

    violated = await violated_constraint(sql, "UPDATE payments SET encrypted_content = 'x', encrypted_key_id = 's1'")

    assert violated == "payments_one_content_check"


async def test_a_stripe_subscription_has_one_row(orders: Client, sql: Any) -> None:
    """The unique index rejects a second one."""
    for _ in range(2):
        await orders.RecordPurchase(cart(recurring_line(1)))

    violated = await violated_constraint(
        sql, "UPDATE subscriptions SET stripe_subscription_id = 'sub_1', status = 'active'"
    )

    assert violated == "subscriptions_stripe_subscription_id_key"


async def test_subscriptions_of_an_attempt_may_differ_in_unit_or_count(orders: Client, sql: Any) -> None:
    """Rows without an attempt do not collide."""
    await orders.RecordPurchase(cart(recurring_line(1)))
    without_attempt = ANOTHER_SUBSCRIPTION.format(attempt_id="NULL", interval="month", currency="currency")
    yearly = ANOTHER_SUBSCRIPTION.format(attempt_id="attempt_id", interval="year", currency="currency")
    quarterly = SUBSCRIPTION["subscriptions_one_per_interval"].replace(" 1, 0,", " 3, 0,")

    for statement in (without_attempt, without_attempt, yearly, quarterly):
        await sql.execute(statement)

    assert await violated_constraint(sql, yearly) == "subscriptions_one_per_interval"
