"""Subscriptions of orders in memory, as their port's contract has them."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from payments_gateway.domain.attempts import (
    CheckoutContext,
    Interval,
    LineItem,
)
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.purchases import (
    Payment,
)
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    PAYMENT_METHOD_MISSING,
    StripeSubscriptionMismatch,
    StripeSubscriptionState,
    Subscription,
    SubscriptionActivated,
    SubscriptionInvoice,
    SubscriptionItem,
    SubscriptionNotFound,
    SubscriptionPage,
    SubscriptionStatus,
    UnfinishedPage,
)
from servicekit.violations import FieldViolation, InvalidRequest


class FakeSubscriptions:
    """orders' subscriptions, with their versions."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.by_id: dict[str, Subscription] = {}
        self.failures: list[str] = []
        """Stripe's error code of each recorded refusal."""

    def record(self, payment: Payment, context: CheckoutContext) -> tuple[Subscription, ...]:
        """Record what a purchase begins, one subscription for each billing interval."""
        intervals: dict[tuple[Interval, int], list[LineItem]] = {}
        for line in context.items:
            if line.recurring is not None:
                intervals.setdefault(line.recurring.period, []).append(line)
        return tuple(self._record(payment, context, lines) for lines in intervals.values())

    def _record(self, payment: Payment, context: CheckoutContext, lines: list[LineItem]) -> Subscription:
        assert context.stripe_customer_id is not None
        failed = payment.payment_method_id is None
        assert lines[0].recurring is not None
        recorded = Subscription(
            id=str(uuid.UUID(int=len(self.by_id) + 1, version=4)),
            checkout_attempt_id=payment.attempt_id,
            user_id=context.user_id,
            stripe_customer_id=context.stripe_customer_id,
            payment_method_id=payment.payment_method_id,
            recurring=lines[0].recurring,
            items=tuple(
                SubscriptionItem(line.price_id, line.product_id, line.name, line.quantity, line.unit_price)
                for line in lines
            ),
            version=0,
            created_at=self._now(),
            status=SubscriptionStatus.ACTIVATION_FAILED if failed else SubscriptionStatus.PENDING,
            activation_failure=PAYMENT_METHOD_MISSING if failed else None,
            activation_failed_at=self._now() if failed else None,
        )
        return self._write(recorded)

    async def get_subscription(self, subscription_id: str) -> Subscription:
        if subscription_id not in self.by_id:
            raise SubscriptionNotFound
        return self.by_id[subscription_id]

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        if found := self._bound_to(stripe_subscription_id):
            return found
        raise SubscriptionNotFound

    def _bound_to(self, stripe_subscription_id: str) -> Subscription | None:
        return next(
            (each for each in self.by_id.values() if each.stripe_subscription_id == stripe_subscription_id), None
        )

    async def list_subscriptions(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
        start, stop = slice_of(page_size, page_token)
        theirs = [each for each in self.by_id.values() if each.user_id == user_id][::-1]
        return SubscriptionPage(tuple(theirs[start:stop]), str(stop) if len(theirs) > stop else None)

    async def list_unfinished(
        self, created_before: datetime, *, page_size: int, page_token: str | None
    ) -> UnfinishedPage:
        found = [
            each.id
            for each in self.by_id.values()
            if each.id > (page_token or "")
            and not each.is_bound
            and (each.status is SubscriptionStatus.PENDING or (each.cancel_requested_at and each.activation_began_at))
            and each.created_at < created_before
        ]
        size = min(page_size, 1)
        return UnfinishedPage(found[:size], found[size - 1] if len(found) > size else None)

    async def begin_activation(self, subscription_id: str, *, abandon_generation: int | None = None) -> Subscription:
        found = await self.get_subscription(subscription_id)
        if found.is_bound or found.status is SubscriptionStatus.ACTIVATION_FAILED:
            return found
        if abandon_generation == found.activation_generation:
            found = replace(found, activation_generation=found.activation_generation + 1, activation_began_at=None)
            return self._write(replace(found, activation_began_at=self._begins_at(found)))
        if found.activation_began_at or found.status is not SubscriptionStatus.PENDING:
            return found
        return self._write(replace(found, activation_began_at=self._now()))

    def _begins_at(self, found: Subscription) -> datetime | None:
        return None if found.cancel_requested_at else self._now()

    async def activate(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        found = await self.get_subscription(subscription_id)
        if found.stripe_subscription_id == state.stripe_subscription_id:
            return found
        if found.is_bound or self._bound_to(state.stripe_subscription_id):
            raise StripeSubscriptionMismatch
        if found.cancel_requested_at and state.status not in ENDED_STATUSES:
            raise VersionConflict
        return self._apply(found, expected_version, state, invoice)

    async def cancel_pending(self, subscription_id: str, expected_version: int) -> Subscription:
        found = await self.get_subscription(subscription_id)
        if found.cancel_requested_at:
            return found
        if found.is_bound:
            raise SubscriptionActivated
        if found.version != expected_version:
            raise VersionConflict
        return self._write(
            replace(
                found,
                status=SubscriptionStatus.CANCELED,
                activation_failure=None,
                cancel_requested_at=self._now(),
            )
        )

    async def fail_activation(self, subscription_id: str, expected_version: int, failure: str) -> Subscription:
        found = await self.get_subscription(subscription_id)
        if found.status is not SubscriptionStatus.PENDING:
            return found
        if found.version != expected_version:
            raise VersionConflict
        self.failures.append(failure)
        return self._write(
            replace(
                found,
                status=SubscriptionStatus.ACTIVATION_FAILED,
                activation_failure=failure,
                activation_failed_at=self._now(),
                activation_generation=found.activation_generation + 1,
                activation_began_at=None,
            )
        )

    async def apply_state(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        found = await self.get_subscription(subscription_id)
        if found.stripe_subscription_id != state.stripe_subscription_id:
            raise StripeSubscriptionMismatch
        return self._apply(found, expected_version, state, invoice)

    def retry_activation(self, subscription_id: str, payment_method_id: str | None = None) -> None:
        """Let a failed activation begin again, as a person does."""
        found = self.by_id[subscription_id]
        assert found.status is SubscriptionStatus.ACTIVATION_FAILED
        method_id = payment_method_id or found.payment_method_id
        self._write(
            replace(found, status=SubscriptionStatus.PENDING, activation_failure=None, payment_method_id=method_id)
        )

    def touch(self, subscription_id: str) -> None:
        """Write a subscription as another writer would."""
        self._write(self.by_id[subscription_id])

    def _apply(
        self,
        found: Subscription,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        if found.version != expected_version:
            raise VersionConflict
        others = tuple(each for each in found.invoices if invoice is None or each.id != invoice.id)
        return self._write(
            replace(
                found,
                status=state.status,
                activation_failure=None,
                stripe_subscription_id=state.stripe_subscription_id,
                state=state,
                invoices=(invoice, *others) if invoice else others,
            )
        )

    def _write(self, found: Subscription) -> Subscription:
        self.by_id[found.id] = replace(found, version=found.version + 1)
        return self.by_id[found.id]


def slice_of(page_size: int, page_token: str | None) -> tuple[int, int]:
    """Return where a page begins and ends."""
    if page_token is not None and not page_token.isdecimal():
        raise InvalidRequest([FieldViolation("page_token", "is not one that was given out")])
    start = int(page_token or 0)
    return start, start + page_size
