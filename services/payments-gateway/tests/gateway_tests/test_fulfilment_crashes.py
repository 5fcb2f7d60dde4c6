from collections.abc import Callable

import pytest

from payments_gateway.domain.attempts import DeleteReason, Tombstone
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    PaymentReport,
    Purchase,
    QuarantinedPayment,
    QuarantineReason,
    ReportChannel,
)

from .assembly import Gateway
from .fakes import Crash
from .samples import ATTEMPT_ID, CONTEXT

WEBHOOK = PaymentReport(ReportChannel.WEBHOOK, "evt_1")
MOST_CALLS = 4

crashes = pytest.mark.parametrize(
    ("place", "after_effect"), [(place, after) for place in range(MOST_CALLS) for after in (False, True)]
)


async def fulfil_through_a_crash(gateway: Gateway, paid: StripeIntent, place: int, *, after_effect: bool) -> None:
    """Kill a fulfilment at one of its calls, look whether anything was lost, and let it run again."""
    gateway.wire.fail(place, Crash(), after_effect=after_effect)
    try:
        await gateway.fulfilment.fulfil(paid, WEBHOOK)
    except Crash:
        assert gateway.attempts.stored() or paid.ref.id in gateway.orders.contents
    gateway.wire.heal()
    await gateway.fulfilment.fulfil(paid, WEBHOOK)


def left_of(gateway: Gateway) -> DeleteReason | None:
    """Show why the attempt's content is gone; None when it is there."""
    found = gateway.attempts.at(ATTEMPT_ID)
    return found.reason if isinstance(found, Tombstone) else None


@crashes
async def test_p3_a_crash_on_the_way_to_a_purchase(
    gateway: Gateway,
    place: int,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """Killed at any call, before or after its effect: the repeat ends in exactly one purchase, and forgets it."""
    paid = gateway.intents.pay(gateway.stored_attempt().intent)

    await fulfil_through_a_crash(gateway, paid, place, after_effect=after_effect)

    assert [type(decision) for decision in gateway.orders.decisions.values()] == [Purchase]
    assert gateway.orders.contents == {paid.ref.id: CONTEXT}
    assert left_of(gateway) is DeleteReason.RECORDED


def _pays_a_cent_less(gateway: Gateway) -> StripeIntent:
    return gateway.intents.pay(gateway.stored_attempt().intent, Money(3299, "usd"))


def _pays_what_orders_refuses(gateway: Gateway) -> StripeIntent:
    gateway.orders.refuse(ATTEMPT_ID)
    return gateway.intents.pay(gateway.stored_attempt().intent)


@crashes
@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        (_pays_a_cent_less, QuarantineReason.AMOUNT_MISMATCH),
        (_pays_what_orders_refuses, QuarantineReason.UNRECORDABLE),
    ],
)
async def test_p4_a_crash_on_the_way_to_quarantine(
    gateway: Gateway,
    payment: Callable[[Gateway], StripeIntent],
    reason: QuarantineReason,
    place: int,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """Killed at any call: the payment ends quarantined once, with its content, and never as a purchase."""
    paid = payment(gateway)

    await fulfil_through_a_crash(gateway, paid, place, after_effect=after_effect)

    # A run that finds the content already set aside asks for a decision without it, and is told the one that stands.
    assert gateway.orders.decisions == {paid.ref.id: QuarantinedPayment(reason, content_kept=True)}
    assert gateway.orders.contents == {paid.ref.id: CONTEXT}
    assert left_of(gateway) is DeleteReason.QUARANTINED


@crashes
async def test_p3_a_crash_while_setting_aside_a_second_payment(
    gateway: Gateway,
    place: int,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """The purchase stays the only one, and the second payment is set aside once."""
    stored = gateway.stored_attempt()
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)
    second = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))
    place += len(gateway.wire.calls)
    gateway.wire.fail(place, Crash(), after_effect=after_effect)

    for _ in range(2):
        try:
            await gateway.fulfilment.fulfil(second, WEBHOOK)
        except Crash:
            gateway.wire.heal()

    assert [type(decision) for decision in gateway.orders.decisions.values()] == [Purchase, QuarantinedPayment]
