"""Failed activations that an operator retries or gives up, one call at a time (ADR 42)."""

from typing import Any

from checkout.orders.v1 import operator_pb2 as op
from checkout.orders.v1 import orders_pb2 as pb

from ..calls import activate, begun, fail, read
from ..operator_calls import actions_of, step
from ..service import VERSION_CONFLICT, Client, OperatorClient, count, error_of


def give_up(subscription: pb.Subscription) -> op.GiveUpSubscriptionRequest:
    """Return a request to give a subscription up at its version."""
    return op.GiveUpSubscriptionRequest(
        step=step(), subscription_id=subscription.id, expected_version=subscription.version
    )


async def test_a_retry_is_recorded_with_its_operator(orders: Client, operator: OperatorClient, sql: Any) -> None:
    """In the transaction that makes the subscription pending again; a repeat records nothing."""
    failed = await fail(orders, await begun(orders))
    request = op.RetrySubscriptionRequest(step=step(), subscription_id=failed.id, payment_method_id="pm_2")

    retried = (await operator.RetrySubscription(request)).subscription
    again = (await operator.RetrySubscription(request)).subscription

    assert again == retried
    assert (retried.status, retried.payment_method_id, retried.user_id) == (pb.SUBSCRIPTION_STATUS_PENDING, "pm_2", "")
    (recorded,) = await actions_of(sql, failed.id)
    assert (recorded["before"]["status"], recorded["after"]["status"]) == ("activation_failed", "pending")
    assert recorded["after"]["payment_method_id"] == "pm_2"


async def test_a_given_up_subscription_is_cancelled(orders: Client, operator: OperatorClient, sql: Any) -> None:
    """Nothing creates it any more; a repeat answers the same, and records nothing."""
    failed = await fail(orders, await begun(orders))

    given_up = (await operator.GiveUpSubscription(give_up(failed))).subscription
    again = (await operator.GiveUpSubscription(give_up(failed))).subscription

    assert (given_up.status, again) == (pb.SUBSCRIPTION_STATUS_CANCELED, given_up)
    (recorded,) = await actions_of(sql, failed.id)
    assert recorded["action"] == "give_up_subscription"


async def test_only_a_failed_activation_is_given_up(orders: Client, operator: OperatorClient, sql: Any) -> None:
    """Not one that is pending or bound, nor one that changed since the operator read it."""
    pending, bound = await begun(orders), await activate(orders, await begun(orders))
    failed = await fail(orders, await begun(orders))
    outdated = give_up(failed)
    outdated.expected_version -= 1

    errors = [
        await error_of(operator.GiveUpSubscription(give_up(pending))),
        await error_of(operator.GiveUpSubscription(give_up(bound))),
        await error_of(operator.GiveUpSubscription(outdated)),
    ]

    assert [error.reason for error in errors[:2]] == ["activation_not_failed", "subscription_activated"]
    assert errors[2] == VERSION_CONFLICT
    assert await read(orders, failed) == failed
    assert await count(sql, "operator_actions") == [0]
