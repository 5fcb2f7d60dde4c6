"""What a page weighs: every text that travels counts, so that no page outgrows a message."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from checkout.orders.v1 import orders_pb2 as pb
from orders.domain.checkout import (
    Address,
    AttemptContent,
    BillingInterval,
    CheckoutContext,
    Contact,
    LineItem,
    Money,
    Recurring,
    ShippingOption,
)
from orders.domain.pagination import PAGE_BYTES, PageRequest
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason
from orders.domain.subscriptions import Sighting
from orders.usecases.purchases import PaidAttempt, PurchaseReader, PurchaseRecorder
from orders.usecases.quarantine import Quarantine
from orders.usecases.subscriptions import SubscriptionLife, SubscriptionReader

from .memory_ledger import MemoryUnits
from .reports import purchase
from .service import Client
from .subscription_reports import cart, recurring_line
from .test_subscription_ledgers import state

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WIDE = "\U0001f600"  # Four bytes; a page is weighed in bytes.
ROWS = 4
HEAVY = WIDE * (PAGE_BYTES // (ROWS - 1) // 4)  # One too many of them for a page.

USER = "user_1"
ADDRESS = Address("12 St James's Square", None, None, None, None, "GB")
OPTION = ShippingOption("shr_std", "Standard", Money(0, "eur"))
ITEM = LineItem("price_1", "prod_1", "Mug", 1, Money(500, "eur"))
CONTEXT = CheckoutContext(USER, Contact("Ada", "ada@shop.example", None), ADDRESS, OPTION, (ITEM,), Money(500, "eur"))

Spoil = Callable[[CheckoutContext], CheckoutContext]


def in_part(part: str, field: str) -> tuple[str, Spoil]:
    """Return a case in which one text of a part of the content is heavy."""

    def spoil(context: CheckoutContext) -> CheckoutContext:
        changes: dict[str, Any] = {part: replace(getattr(context, part), **{field: HEAVY})}
        return replace(context, **changes)

    return f"{part}.{field}", spoil


def in_item(field: str) -> tuple[str, Spoil]:
    """Return a case in which one text of a line is heavy."""

    def spoil(context: CheckoutContext) -> CheckoutContext:
        changes: dict[str, Any] = {field: HEAVY}
        return replace(context, items=(replace(ITEM, **changes),))

    return f"items.{field}", spoil


HEAVY_TEXTS = [
    *(in_part("contact", field) for field in ("name", "email", "phone")),
    *(in_part("shipping_address", field) for field in ("line1", "line2", "city", "state", "postal_code", "country")),
    *(in_part("shipping_option", field) for field in ("shipping_rate_id", "name")),
    *(in_item(field) for field in ("price_id", "product_id", "name")),
]


def paid(number: int, context: CheckoutContext, *, prefix: str = "") -> PaidAttempt:
    """Return a paid attempt, different for each number."""
    payment = Payment(
        Intent(f"{prefix}pi_{number}", IntentKind.PAYMENT), f"{prefix}{number}", context.total, livemode=True
    )
    return PaidAttempt(
        payment, context, AttemptContent(context.user_id, b""), PaymentReport(ReportChannel.RECONCILER, None)
    )


async def listed(reports: list[PaidAttempt]) -> int:
    """Record the reports and return how many orders the first page has."""
    units = MemoryUnits()
    recorder = PurchaseRecorder(units.begin, lambda: AT, uuid4, secrets.randbelow)
    for report in reports:
        await recorder.record(report)
    user_id = reports[0].context.user_id or ""
    return len((await PurchaseReader(units.begin).orders_of(user_id, PageRequest(100, None))).rows)


@pytest.mark.parametrize("spoil", [case[1] for case in HEAVY_TEXTS], ids=[case[0] for case in HEAVY_TEXTS])
async def test_each_text_of_the_content_weighs(spoil: Spoil) -> None:
    """A page of orders that are heavy in this one text ends early."""
    reports = [paid(number, spoil(CONTEXT)) for number in range(ROWS)]

    assert await listed(reports) < ROWS


async def test_the_ids_of_an_order_weigh() -> None:
    """The user's, the attempt's and the intent's: any two of them would be light enough, all three are not."""
    third = HEAVY[: len(HEAVY) // 3]
    reports = [paid(number, replace(CONTEXT, user_id=third), prefix=third) for number in range(ROWS)]

    assert await listed(reports) < ROWS


RECURRING = Recurring(BillingInterval.MONTH, 1, 0)
BEGUN = replace(CONTEXT, items=(replace(ITEM, recurring=RECURRING),), total=Money(0, "eur"), stripe_customer_id="cus_1")
# Nothing is shipped for money with a setup, so no option is kept with a subscription.
WEIGHS_WITH_SUBSCRIPTION = [case for case in HEAVY_TEXTS if not case[0].startswith("shipping_option")]


def set_up(number: int, context: CheckoutContext, *, prefix: str = "") -> PaidAttempt:
    """Return a set up cart of one recurring line, different for each number."""
    paid_attempt = paid(number, context, prefix=prefix)
    intent = Intent(f"{prefix}seti_{number}", IntentKind.SETUP)
    payment = replace(paid_attempt.payment, intent=intent, received=None, payment_method_id=f"{prefix}pm")
    return replace(paid_attempt, payment=payment)


async def subscriptions_listed(reports: list[PaidAttempt], *, prefix: str = "") -> int:
    """Record the reports, activate them, and return how many subscriptions the first page has."""
    units = MemoryUnits()
    recorder = PurchaseRecorder(units.begin, lambda: AT, uuid4, secrets.randbelow)
    life = SubscriptionLife(units.begin, lambda: AT)
    for number, report in enumerate(reports):
        bought = (await recorder.record(report)).decision
        assert isinstance(bought, Purchase)
        (subscription,) = bought.subscriptions
        seen = replace(state(f"{prefix}sub_{number}"), latest_invoice_id=f"{prefix}in")
        await life.activate(subscription.id, Sighting(1, seen, None))
    user_id = reports[0].context.user_id or ""
    return len((await SubscriptionReader(units.begin).of_user(user_id, PageRequest(100, None))).rows)


@pytest.mark.parametrize(
    "spoil", [case[1] for case in WEIGHS_WITH_SUBSCRIPTION], ids=[case[0] for case in WEIGHS_WITH_SUBSCRIPTION]
)
async def test_each_text_of_a_subscription_weighs(spoil: Spoil) -> None:
    """A page of subscriptions that are heavy in this one text ends early."""
    reports = [set_up(number, _recurring(spoil(BEGUN))) for number in range(ROWS)]

    assert await subscriptions_listed(reports) < ROWS


def _recurring(context: CheckoutContext) -> CheckoutContext:
    return replace(context, items=tuple(replace(item, recurring=RECURRING) for item in context.items))


async def test_the_ids_of_a_subscription_weigh() -> None:
    """User, attempt, intent, customer, method, invoice, and Stripe's own id, told twice: any seven are light enough."""
    eighth = WIDE * (PAGE_BYTES * 107 // 100 // ROWS // 8 // len(WIDE.encode()))
    context = replace(BEGUN, user_id=eighth, stripe_customer_id=eighth)

    assert await subscriptions_listed([set_up(n, context, prefix=eighth) for n in range(ROWS)], prefix=eighth) < ROWS


async def test_the_failure_of_an_activation_weighs() -> None:
    """Stripe's word, as long as it may never be."""
    units = MemoryUnits()
    recorder = PurchaseRecorder(units.begin, lambda: AT, uuid4, secrets.randbelow)
    for number in range(ROWS):
        bought = (await recorder.record(set_up(number, BEGUN))).decision
        assert isinstance(bought, Purchase)
        await SubscriptionLife(units.begin, lambda: AT).fail(bought.subscriptions[0].id, 1, HEAVY)

    assert len((await SubscriptionReader(units.begin).of_user(USER, PageRequest(100, None))).rows) < ROWS


async def test_a_page_of_heavy_subscriptions_fits_into_a_message(orders: Client) -> None:
    """Twenty lines with the longest names in each: the page ends early instead of failing, and the next one goes on."""
    lines = [recurring_line(number) for number in range(20)]
    for each in lines:
        each.name = WIDE * 5000
    for _ in range(10):
        await orders.RecordPurchase(cart(*lines))

    first = await orders.ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1", page_size=100))
    token = first.next_page_token
    second = await orders.ListSubscriptions(
        pb.ListSubscriptionsRequest(user_id="user_1", page_size=100, page_token=token)
    )

    assert first.ByteSize() < 4 * 1024 * 1024
    assert {each.id for each in first.subscriptions}.isdisjoint(each.id for each in second.subscriptions)
    assert len(second.subscriptions) > 0


async def test_light_orders_fill_a_page() -> None:
    """Weighing costs the usual order no place."""
    reports = [paid(number, CONTEXT) for number in range(100)]

    assert await listed(reports) == 100


async def test_each_text_of_a_quarantined_payment_weighs() -> None:
    """Intent, attempt, event and content: any three of them would be light enough, all four are not."""
    fifth = HEAVY[: len(HEAVY) // 5]
    quarantine = Quarantine(MemoryUnits().begin, lambda: AT)
    for number in range(ROWS):
        payment = paid(number, CONTEXT, prefix=fifth).payment
        content, report = AttemptContent(None, fifth.encode()), PaymentReport(ReportChannel.WEBHOOK, fifth)
        await quarantine.set_aside(QuarantinedPayment(payment, QuarantineReason.UNRECORDABLE, content, report, AT))

    page = await quarantine.page(PageRequest(100, None))

    assert len(page.rows) < ROWS


async def test_a_page_of_orders_with_long_addresses_fits_into_a_message(orders: Client) -> None:
    """Every text as long as it may be: the page ends early instead of failing, and the next one goes on."""
    report = purchase(lines=1)
    for part in (report.context.contact, report.context.shipping_address, report.context.shipping_option):
        for field in part.DESCRIPTOR.fields:
            if field.name not in ("country", "shipping_rate_id", "amount"):
                setattr(part, field.name, WIDE * 5000)
    for number in range(50):
        report.payment.intent.id, report.payment.attempt_id = f"pi_long_{number}", f"long-{number}"
        await orders.RecordPurchase(report)

    first = await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_size=100))
    second = await orders.ListOrders(
        pb.ListOrdersRequest(user_id="user_1", page_size=100, page_token=first.next_page_token)
    )

    assert first.ByteSize() < 4 * 1024 * 1024
    assert {order.id for order in first.orders}.isdisjoint(order.id for order in second.orders)
    assert len(second.orders) > 0
