"""Steps of operators about orders and subscriptions, each recorded in the transaction of its effect (ADR 42)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orders.domain.checkout import Money
from orders.domain.orders import Order
from orders.domain.outbox import OutboxEvent
from orders.domain.settlements import OperatorAction, OperatorStep, OperatorVerb
from orders.domain.subscriptions import (
    Subscription,
    SubscriptionActivated,
    SubscriptionNotFound,
    SubscriptionStatus,
)
from orders.usecases.purchases import OrderNotFound
from orders.usecases.subscriptions import require_pending
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory, VersionConflict


class ActivationNotFailed(Exception):
    """The subscription is pending: its activation has not failed."""


@dataclass(frozen=True, slots=True)
class OrderRefund:
    """Refund of an order that an operator asks Stripe for. `refund_id` and `outcome` are None before the answer."""

    order_id: UUID
    amount: Money
    idempotency_key: str
    refund_id: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """Order, and the steps of operators about it."""

    order: Order
    actions: Sequence[OperatorAction]


class OperatorSteps:
    """Records steps about orders and subscriptions, with their effect."""

    def __init__(self, begin: UnitOfWorkFactory, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def find_order(self, key: UUID | str) -> ShownOrder:
        """Return an order by its id or number, with the steps about it. Raises OrderNotFound."""
        async with self._begin() as unit:
            order_id = await unit.settlements.find_order_id(key) if isinstance(key, str) else key
            order = await unit.purchases.find_order(order_id) if order_id else None
            if order is None:
                raise OrderNotFound
            actions = await unit.settlements.list_actions(str(order.id))
        return ShownOrder(order, actions)

    async def record_refund(self, step: OperatorStep, refund: OrderRefund) -> None:
        """Record a step of a refund. Raises OrderNotFound."""
        async with self._begin() as unit:
            order = await unit.purchases.find_order(refund.order_id)
            if order is None:
                raise OrderNotFound
            before = {"status": order.status.value, "total_minor": order.total.minor_units}
            after = {
                "amount_minor": refund.amount.minor_units,
                "currency": refund.amount.currency,
                "idempotency_key": refund.idempotency_key,
                "refund_id": refund.refund_id,
                "status": refund.outcome,
            }
            verb = OperatorVerb.REFUND_ORDER
            await unit.settlements.add_action(
                OperatorAction(step, self._now(), verb, str(refund.order_id), before, after)
            )
            await unit.commit()

    async def retry_subscription(
        self, step: OperatorStep, subscription_id: UUID, expected_version: int | None, payment_method_id: str | None
    ) -> Subscription:
        """Let a failed activation begin again. One that is pending with the payment method is returned unchanged.

        Raises SubscriptionNotFound, VersionConflict, SubscriptionActivated, SubscriptionCancelled, InvalidRequest.
        """
        async with self._begin() as unit:
            before = await _get(unit, subscription_id)
            if await unit.subscriptions.retry_activation(subscription_id, expected_version, payment_method_id):
                current = await self._record(unit, step, OperatorVerb.RETRY_SUBSCRIPTION, before)
            else:
                current = await _lock(unit, subscription_id)
            await unit.commit()
        require_pending(current, payment_method_id)
        return current

    async def give_up_subscription(
        self, step: OperatorStep, subscription_id: UUID, expected_version: int
    ) -> Subscription:
        """Cancel a subscription whose activation failed. One that is cancelled already is returned unchanged.

        Raises SubscriptionNotFound, VersionConflict, SubscriptionActivated, ActivationNotFailed.
        """
        async with self._begin() as unit:
            before = await _lock(unit, subscription_id)
            if before.status is SubscriptionStatus.PENDING:
                raise ActivationNotFailed
            if await unit.subscriptions.cancel_pending(subscription_id, expected_version, self._now()):
                current = await self._record(unit, step, OperatorVerb.GIVE_UP_SUBSCRIPTION, before)
            else:
                current = before
            await unit.commit()
        if current.cancel_requested_at is None:
            raise SubscriptionActivated if current.state else VersionConflict
        return current

    async def _record(
        self, unit: UnitOfWork, step: OperatorStep, verb: OperatorVerb, before: Subscription
    ) -> Subscription:
        current, at = await _get(unit, before.id), self._now()
        action = OperatorAction(step, at, verb, str(before.id), _state_of(before), _state_of(current))
        await unit.settlements.add_action(action)
        await unit.enqueue_event(OutboxEvent.subscription_changed(current), at)
        return current


async def _get(unit: UnitOfWork, subscription_id: UUID) -> Subscription:
    subscription = await unit.subscriptions.find(subscription_id)
    if subscription is None:
        raise SubscriptionNotFound
    return subscription


async def _lock(unit: UnitOfWork, subscription_id: UUID) -> Subscription:
    await unit.subscriptions.lock(subscription_id)
    return await _get(unit, subscription_id)


def _state_of(subscription: Subscription) -> Mapping[str, Any]:
    return {
        "status": subscription.status.value,
        "version": subscription.version,
        "payment_method_id": subscription.payment_method_id,
    }
