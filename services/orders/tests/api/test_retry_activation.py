"""A failed activation that a person lets begin again, one call at a time."""

import logging

import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import cart, recurring_line
from ..calls import activate, begin, begun, cancel, fail, read, retry
from ..service import VERSION_CONFLICT, Client, error_of

PENDING = pb.SUBSCRIPTION_STATUS_PENDING


async def test_a_failed_activation_begins_again_with_an_unused_generation(orders: Client) -> None:
    """It shows when it failed until it is bound, and may be refused again, with another code."""
    failed = await fail(orders, await begun(orders))

    retried = await retry(orders, failed, expected_version=failed.version)
    again = await begin(orders, retried)
    refused = await fail(orders, again, "card_declined")

    assert (retried.status, retried.activation_failure, retried.version) == (PENDING, "", failed.version + 1)
    assert retried.activation_failed_at == failed.activation_failed_at
    assert not retried.HasField("activation_began_at")
    assert (again.activation_generation, again.HasField("activation_began_at")) == (2, True)
    assert (refused.activation_failure, refused.activation_generation) == ("card_declined", 3)


async def test_a_failed_activation_begins_again_with_another_payment_method(
    orders: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged. A repeat changes nothing, also with the version that was seen then; another card is a conflict."""
    caplog.set_level(logging.INFO)
    failed = await fail(orders, await begun(orders))

    retried = await retry(orders, failed, expected_version=failed.version, payment_method_id="pm_2")
    repeated = await retry(orders, failed, expected_version=failed.version, payment_method_id="pm_2")
    other = await error_of(retry(orders, failed, payment_method_id="pm_3"))

    assert (failed.payment_method_id, retried.payment_method_id) == ("pm_1", "pm_2")
    assert repeated == retried == await read(orders, failed)
    assert other == VERSION_CONFLICT
    logged = [record.__dict__ for record in caplog.records if "begins again" in record.message]
    assert [each["subscription"] for each in logged] == [failed.id]


async def test_an_activation_begins_again_only_if_it_failed_as_the_person_has_seen(orders: Client) -> None:
    """Not if it failed again meanwhile, is bound, was cancelled, or has no payment method."""
    failed = await fail(orders, await begun(orders))
    refused = await fail(orders, await retry(orders, failed), "card_declined")
    bound = await activate(orders, await fail(orders, await begun(orders)))
    cancelled = await cancel(orders, await fail(orders, await begun(orders)))
    request = cart(recurring_line(1))
    request.payment.payment_method_id = ""
    (without_card,) = (await orders.RecordPurchase(request)).decision.purchase.subscriptions

    errors = [
        await error_of(retry(orders, failed, expected_version=failed.version)),
        await error_of(retry(orders, bound)),
        await error_of(retry(orders, cancelled)),
        await error_of(retry(orders, without_card)),
    ]

    assert [error.reason for error in errors] == [
        "version_conflict",
        "subscription_activated",
        "subscription_canceled",
        "invalid_request",
    ]
    assert [await read(orders, each) for each in (failed, bound, cancelled)] == [refused, bound, cancelled]
    assert (await retry(orders, without_card, payment_method_id="pm_2")).status == PENDING
