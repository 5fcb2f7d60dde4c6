"""The database keeps subscriptions and customers in order itself: whoever writes to it directly is refused too."""

from typing import Any

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import pytest

from .reports import aside, line
from .service import Client
from .subscription_reports import cart, invoice, recurring_line
from .test_activation import activate
from .test_customers import put

ANOTHER = """
    INSERT INTO subscriptions (id, checkout_attempt_id, intent_id, stripe_customer_id, stripe_payment_method_id,
                               status, interval, interval_count, trial_days, currency, position, contact_name,
                               contact_email, created_at, updated_at)
    SELECT gen_random_uuid(), {attempt}, {intent}, 'cus', 'pm', 'pending', 'month', 1, 0, {currency}, 0, 'n', 'e',
           now(), now()
      FROM payments
"""

PENDING = {
    "subscriptions_one_per_interval": ANOTHER.format(attempt="attempt_id", intent="intent_id", currency="currency"),
    "subscriptions_hang_on_a_purchase": ANOTHER.format(attempt="NULL", intent="intent_id", currency="'usd'"),
    "subscriptions_bound_iff_created_check": "UPDATE subscriptions SET status = 'active'",
    "subscriptions_state_only_when_bound_check": "UPDATE subscriptions SET ended_at = now()",
    "subscriptions_failure_iff_failed_check": "UPDATE subscriptions SET activation_failure = 'resource_missing'",
    "subscriptions_trial_days_check": "UPDATE subscriptions SET trial_days = 731",
    "subscriptions_activation_generation_check": "UPDATE subscriptions SET activation_generation = 0",
    "subscriptions_version_check": "UPDATE subscriptions SET version = 0",
    "subscriptions_position_check": "UPDATE subscriptions SET position = -1",
    "subscriptions_interval_count_check": "UPDATE subscriptions SET interval_count = 0",
    "subscriptions_payment_outcome_check": "UPDATE subscriptions SET payment_outcome = 'quarantined'",
    "subscriptions_address_whole_or_none_check": "UPDATE subscriptions SET shipping_country = NULL",
    "subscriptions_contact_unless_erased_check": "UPDATE subscriptions SET contact_email = NULL",
    "subscriptions_erased_holds_nobody_check": "UPDATE subscriptions SET erased_at = now()",
    "subscription_items_quantity_check": "UPDATE subscription_items SET quantity = 0",
    "subscription_items_unit_amount_minor_check": "UPDATE subscription_items SET unit_amount_minor = -1",
    "subscription_items_subscription_id_fkey": "UPDATE subscription_items SET subscription_id = gen_random_uuid()",
    "payments_setup_takes_nothing_check": "UPDATE payments SET amount_minor = 1",
    "payments_amount_unless_setup_aside_check": "UPDATE payments SET amount_minor = NULL, currency = NULL",
}

BOUND = {
    "subscriptions_bound_iff_created_check": "UPDATE subscriptions SET stripe_subscription_id = NULL",
    "subscription_invoices_pkey": """
        INSERT INTO subscription_invoices (stripe_invoice_id, subscription_id, status, total_minor, amount_paid_minor,
                                           currency, attempt_count, created_at, updated_at)
        SELECT stripe_invoice_id, subscription_id, status, 1, 1, currency, 1, now(), now() FROM subscription_invoices
    """,
    "subscription_invoices_amount_paid_minor_check": "UPDATE subscription_invoices SET amount_paid_minor = -1",
    "subscription_invoices_attempt_count_check": "UPDATE subscription_invoices SET attempt_count = -1",
    "subscription_invoices_currency_check": "UPDATE subscription_invoices SET currency = 'EUR'",
    "subscription_invoices_subscription_id_fkey": "DELETE FROM subscription_items; DELETE FROM subscriptions",
    "customers_pkey": "INSERT INTO customers VALUES ('user_1', 'cus_2', now(), now())",
    "customers_stripe_customer_id_key": "INSERT INTO customers VALUES ('user_2', 'cus_1', now(), now())",
}


async def refused(sql: Any, statement: str) -> str:
    """Return the constraint that refuses a statement."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await sql.execute(statement)
    return str(refusal.value.constraint_name)


@pytest.mark.parametrize("constraint", PENDING)
async def test_p3_a_subscription_cannot_be_falsified(orders: Client, sql: Any, constraint: str) -> None:
    """Each constraint is what refuses the statement that breaks it."""
    await orders.RecordPurchase(cart(recurring_line(1)))

    assert await refused(sql, PENDING[constraint]) == constraint


@pytest.mark.parametrize("constraint", BOUND)
async def test_what_stripe_showed_cannot_be_falsified(orders: Client, sql: Any, constraint: str) -> None:
    """Nor can whose customer is whose."""
    bought = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions[0]
    await activate(orders, bought, None, invoice())
    await put(orders, "cus_1")

    assert await refused(sql, BOUND[constraint]) == constraint


async def test_a_stripe_subscription_is_in_one_row(orders: Client, sql: Any) -> None:
    """The unique index refuses the second."""
    for _ in range(2):
        await orders.RecordPurchase(cart(recurring_line(1)))

    constraint = await refused(sql, "UPDATE subscriptions SET stripe_subscription_id = 'sub_1', status = 'active'")

    assert constraint == "subscriptions_stripe_subscription_id_key"


async def test_p3_a_quarantined_payment_has_no_subscription(orders: Client, sql: Any) -> None:
    """Never both: neither can one be added, nor can a purchase that has one be quarantined."""
    await orders.QuarantinePayment(aside(cart(line(1))))
    added = await refused(sql, PENDING["subscriptions_hang_on_a_purchase"].replace("'usd'", "'eur'"))
    await sql.execute("DELETE FROM payments")
    await orders.RecordPurchase(cart(recurring_line(1)))

    turned = await refused(
        sql,
        "UPDATE payments SET outcome = 'quarantined', quarantine_reason = 'unrecordable'"
        ", amount_minor = NULL, currency = NULL",
    )

    assert (added, turned) == ("subscriptions_hang_on_a_purchase",) * 2


async def test_intervals_of_an_attempt_may_differ_in_unit_or_count(orders: Client, sql: Any) -> None:
    """And a row without an attempt stands in nobody's way."""
    await orders.RecordPurchase(cart(recurring_line(1)))
    without = ANOTHER.format(attempt="NULL", intent="intent_id", currency="currency")
    same = ANOTHER.format(attempt="attempt_id", intent="intent_id", currency="currency")

    for statement in (without, without, same.replace("'month'", "'year'"), same.replace("1, 0,", "3, 0,")):
        await sql.execute(statement)

    assert await refused(sql, same) == "subscriptions_one_per_interval"
