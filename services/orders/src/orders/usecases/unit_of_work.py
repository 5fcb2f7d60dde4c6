"""Ports to the database: repositories that share one transaction."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from orders.domain.audit import PaymentIds, PaymentRange, RecordedPayment
from orders.domain.checkout import CheckoutContext
from orders.domain.customers import CustomerOwner
from orders.domain.orders import Order, OrderStatus
from orders.domain.outbox import OutboxEvent
from orders.domain.pagination import Cursor
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment
from orders.domain.refunds import Dispute, Refund, RefundSums
from orders.domain.settlements import OperatorAction
from orders.domain.stripe_events import ClaimedCursor, EventRetry, HandledEvent
from orders.domain.subscriptions import StripeSnapshot, Subscription, SubscriptionInvoice, UnfinishedSubscription


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or cannot do the work now. The same call may succeed later."""


class DatabaseReadOnly(DatabaseUnavailable):
    """The database answers but refuses writes: a standby, or a primary with a full disk."""


class VersionConflict(Exception):
    """The row was written after its version was read, so what was read at Stripe may be older than the row."""


class PurchaseRepository(Protocol):
    """Payment decisions and orders."""

    async def decide_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Decide that the intent is a purchase. False if it was decided before, or its attempt has a purchase (P3)."""

    async def decide_with_order(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, order: Order, event: OutboxEvent
    ) -> bool:
        """Decide that the intent is a purchase, and insert its order and its event.

        False, with nothing written, if the intent was decided before, if its attempt has a purchase, if there is a
        refund or dispute of the intent, or if the order's number is taken. The locks of intent and attempt are held.
        """

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Decide that the intent is quarantined. False if it was decided before (P3)."""

    async def promote_to_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Turn an unresolved quarantine that awaits its attempt, or whose refund failed, into the purchase.

        False if it is no such quarantine any more, if it was erased, or if another intent has the attempt's purchase.
        """

    async def settle_as_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Turn an unresolved quarantine of any reason into the purchase, as an operator decided.

        False if it is none, was erased, or is being refunded, or if another intent has the attempt's purchase.
        """

    async def amend_quarantine(self, requested: QuarantinedPayment) -> None:
        """Add the request's content to a quarantined payment without content, unless it was erased.

        A payment that awaits its attempt takes the reason too, also as the reason before its refund; any other keeps
        its own.
        """

    async def resolve_refunded(self, intent_id: str, at: datetime) -> bool:
        """Resolve a quarantined payment as `refunded`, and keep its reason. False if it is none, or is resolved."""

    async def reopen_refunded(self, intent_id: str) -> bool:
        """Give a payment that a refund resolved its reason back, unresolved. False if it is none."""

    async def has_other_purchase(self, attempt_id: str, intent_id: str) -> bool:
        """Return True if another intent has the attempt's purchase."""

    async def find_decision(self, intent_id: str) -> Decision | None:
        """Return the decision on an intent."""

    async def lock_decision(self, intent_id: str) -> Decision | None:
        """Lock the decision on an intent and return it."""

    async def add_order(self, order: Order) -> bool:
        """Insert an order with its items. False if its number is taken."""

    async def put_order_status(self, order_id: UUID, status: OrderStatus) -> None:
        """Write the status of an order."""

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Return the purchase of an attempt."""

    async def find_order(self, order_id: UUID) -> Order | None:
        """Return one order."""

    async def list_orders(self, user_id: str, after: Cursor | None, limit: int) -> list[Order]:
        """Return a user's orders after the cursor, newest first."""

    async def list_quarantined(self, after: Cursor | None, limit: int) -> list[QuarantinedPayment]:
        """Return quarantined payments after the cursor, newest first."""


class SettlementRepository(Protocol):
    """Settlements of quarantined payments, and the steps of operators."""

    async def begin_refund(self, intent_id: str, at: datetime) -> bool:
        """Mark an unresolved quarantine as being refunded. False if it is none, or is marked."""

    async def abandon_refund(self, intent_id: str) -> bool:
        """Remove the mark from an unresolved quarantine. False if it is none, or is not marked."""

    async def settle_refunded(self, intent_id: str) -> bool:
        """Settle a quarantined payment that a refund resolved. False if it is none, or is settled."""

    async def write_off(self, intent_id: str, at: datetime) -> bool:
        """Resolve and settle an unresolved quarantine that is not being refunded. False if it is none."""

    async def list_quarantined(
        self, after: Cursor | None, limit: int, *, with_resolved: bool
    ) -> list[QuarantinedPayment]:
        """Return quarantined payments without their content after the cursor, newest first."""

    async def find_order_id(self, number: str) -> UUID | None:
        """Return the id of the order with a number."""

    async def add_action(self, action: OperatorAction) -> None:
        """Record a step, unless it is recorded."""

    async def list_actions(self, subject: str) -> list[OperatorAction]:
        """Return the steps about an intent, order or subscription, oldest first."""


class SubscriptionRepository(Protocol):
    """Subscriptions with their items and invoices."""

    async def add(self, subscriptions: Sequence[Subscription], context: CheckoutContext) -> None:
        """Insert an attempt's subscriptions, in the order of the cart, with contact and address of the buyer."""

    async def lock(self, subscription_id: UUID) -> None:
        """Lock a subscription, so that the commit waits for the standbys even if nothing else is written."""

    async def find(self, subscription_id: UUID) -> Subscription | None:
        """Return one subscription with its newest invoices."""

    async def find_by_stripe_id(self, stripe_subscription_id: str) -> Subscription | None:
        """Return the subscription that is bound to a Stripe subscription, with its newest invoices."""

    async def list_of_user(self, user_id: str, after: Cursor | None, limit: int) -> list[Subscription]:
        """Return a user's subscriptions after the cursor, newest first, without their invoices."""

    async def list_unfinished(
        self, created_before: datetime, after: Cursor | None, limit: int
    ) -> list[UnfinishedSubscription]:
        """Return pending subscriptions, and those cancelled during their activation, after the cursor, oldest first."""

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int, at: datetime) -> None:
        """Record the start of a generation; advance the generation first if it is the one to abandon.

        Changes nothing, not even the version, if the generation has started already, or if the subscription is bound or
        its activation failed. A cancelled subscription starts no generation.
        """

    async def bind(self, subscription_id: UUID, snapshot: StripeSnapshot) -> bool:
        """Bind the subscription and write the state.

        False unless it is unbound and has the expected version. A cancelled one is bound only to what has ended.
        Raises StripeSubscriptionMismatch if another subscription is bound to the same Stripe subscription.
        """

    async def cancel_pending(self, subscription_id: UUID, expected_version: int, at: datetime) -> bool:
        """Cancel a subscription. False unless it is unbound, not cancelled yet, and has the expected version."""

    async def fail_activation(self, subscription_id: UUID, expected_version: int, failure: str, at: datetime) -> bool:
        """Record a definite refusal by Stripe and advance the generation.

        False unless it is pending and has the expected version.
        """

    async def retry_activation(
        self, subscription_id: UUID, expected_version: int | None, payment_method_id: str | None
    ) -> bool:
        """Make a subscription whose activation failed pending again, with another payment method if one is given.

        False if it did not fail, has another version than the expected one, or would have no payment method.
        """

    async def apply_state(self, subscription_id: UUID, snapshot: StripeSnapshot) -> bool:
        """Write a state. False unless the row has the expected version and is bound to that Stripe subscription."""

    async def put_invoice(self, subscription_id: UUID, invoice: SubscriptionInvoice) -> bool:
        """Insert or update an invoice. False if it belongs to another subscription."""


class RefundRepository(Protocol):
    """Refunds and disputes, by Stripe's id."""

    async def find_refund(self, refund_id: str) -> Refund | None:
        """Return a refund."""

    async def put_refund(self, refund: Refund) -> int | None:
        """Write a refund if the row still has its version; 0 means that there is no row.

        Return the new version, or None if another writer was faster.
        """

    async def find_dispute(self, dispute_id: str) -> Dispute | None:
        """Return a dispute."""

    async def put_dispute(self, dispute: Dispute) -> int | None:
        """Write a dispute under the same condition."""

    async def sums_of(self, intent_id: str) -> RefundSums:
        """Return the sums of an intent's refunds and disputes."""


class CustomerRepository(Protocol):
    """The Stripe customer of each user and currency."""

    async def add(self, owner: CustomerOwner, stripe_customer_id: str) -> bool:
        """Insert the owner's customer. False if the owner has one, another owner has this one, or it was erased."""

    async def replace(self, owner: CustomerOwner, replaced: str, stripe_customer_id: str) -> bool:
        """Replace the owner's customer.

        False if that is not `replaced`, if another owner has the new one, or if that was erased.
        """

    async def find(self, owner: CustomerOwner) -> str | None:
        """Return the id of the owner's Stripe customer."""

    async def is_erased(self, stripe_customer_id: str) -> bool:
        """Return True if the customer was erased, and a person has not deleted it at Stripe yet."""


class StripeEventRepository(Protocol):
    """Log of Stripe's events, retries and cursors."""

    async def log(self, events: Sequence[HandledEvent], at: datetime) -> None:
        """Insert log rows. An event that is logged already keeps its row."""

    async def find_known(self, event_ids: Sequence[str]) -> set[str]:
        """Return those of the events that are logged or waiting to be tried again."""

    async def prune(self, created_before: datetime, max_rows: int) -> int:
        """Delete the oldest log rows of events that were created before; return their number."""

    async def put_retry(self, retry: EventRetry, at: datetime) -> None:
        """Insert a retry, or add a failure to it. The time to its next try doubles with each failure."""

    async def claim_due_retries(self, limit: int, at: datetime, until: datetime, version: str) -> list[EventRetry]:
        """Return due retries, but none that this version did not understand. They are due again `until`."""

    async def count_retries(self, version: str) -> tuple[int, datetime | None]:
        """Return the number of retries, due or not, and the creation of the oldest that the version tries again."""

    async def delete_retry(self, retry_id: str, failures: int) -> EventRetry | None:
        """Delete a retry and return it. None if it is gone, or has failed more often."""

    async def claim_cursor(self, name: str, at: datetime, until: datetime) -> ClaimedCursor:
        """Lease a cursor, unless another lease of it has not ended."""

    async def advance_cursor(self, name: str, position: datetime, until: datetime) -> None:
        """Move a cursor forward, never back, and lease it."""


class AuditRepository(Protocol):
    """Payment decisions as an audit compares them with Stripe."""

    async def list_payments(self, asked: PaymentRange, limit: int) -> list[RecordedPayment]:
        """Return decisions after the page's cursor, those whose intent was created last first."""

    async def find_payments(self, asked: PaymentIds) -> list[RecordedPayment]:
        """Return the decisions on intents and of attempts."""


class UnitOfWork(Protocol):
    """One transaction. Leaving it without `commit` rolls it back."""

    @property
    def purchases(self) -> PurchaseRepository:
        """Payment decisions and orders."""

    @property
    def subscriptions(self) -> SubscriptionRepository:
        """Subscriptions."""

    @property
    def settlements(self) -> SettlementRepository:
        """Settlements and steps of operators."""

    @property
    def refunds(self) -> RefundRepository:
        """Refunds and disputes."""

    @property
    def customers(self) -> CustomerRepository:
        """Customers."""

    @property
    def stripe_events(self) -> StripeEventRepository:
        """Stripe's events."""

    @property
    def audit(self) -> AuditRepository:
        """Payment decisions for an audit."""

    async def lock_intent(self, intent_id: str) -> None:
        """Wait until no other unit of work decides, refunds or disputes this intent. Always the first call in a unit.

        Held until the transaction ends. Statements after it see everything that the others have committed.
        """

    async def lock_attempt(self, attempt_id: str) -> None:
        """Wait until no other unit of work decides another intent of this attempt. Always the second call, if any.

        Held until the transaction ends.
        """

    async def lock_intent_and_attempt(self, intent_id: str, attempt_id: str) -> None:
        """Call `lock_intent` and `lock_attempt` at once."""

    async def enqueue_event(self, event: OutboxEvent, at: datetime) -> None:
        """Insert an event into the outbox."""

    async def commit(self) -> None:
        """Commit the transaction, on the synchronous standbys too."""


UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
