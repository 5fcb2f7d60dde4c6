"""Errors in the log about decisions that a person has to look at: the server that writes the decision logs them."""

import pytest

from ..builders import cart, line, purchase, quarantine_with_content, recurring_line, refund
from ..service import Client


def alerts(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the errors in the log."""
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


async def test_a_quarantined_payment_alerts_once(orders: Client, caplog: pytest.LogCaptureFixture) -> None:
    """However often it is reported; the line has ids and the reason."""
    request = quarantine_with_content()

    for _ in range(6):
        await orders.QuarantinePayment(request)

    assert alerts(caplog) == ["payment quarantined"]
    assert caplog.records[-1].__dict__["intent"] == request.payment.intent.id
    assert caplog.records[-1].__dict__["reason"] == "amount_mismatch"


async def test_a_payment_that_was_refunded_in_full_alerts_nobody(
    orders: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nothing to resolve."""
    request = purchase()
    await orders.ApplyRefund(refund(request.payment.intent.id, amount=request.payment.received))

    await orders.RecordPurchase(request)

    assert alerts(caplog) == []


async def test_a_second_payment_of_an_attempt_alerts(orders: Client, caplog: pytest.LogCaptureFixture) -> None:
    """RecordPurchase quarantines it."""
    first = purchase()
    await orders.RecordPurchase(first)

    await orders.RecordPurchase(purchase(attempt_id=first.payment.attempt_id))

    assert alerts(caplog) == ["payment quarantined"]


async def test_a_subscription_without_a_payment_method_alerts_once(
    orders: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A person has to find one."""
    request = cart(line(1), recurring_line(2))
    request.payment.payment_method_id = ""

    for _ in range(2):
        await orders.RecordPurchase(request)

    assert alerts(caplog) == ["a bought subscription has no payment method"]
