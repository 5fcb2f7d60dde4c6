"""The port to where subscriptions and customers are kept, as part of a unit of work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from orders.pages import Cursor
from orders.subscriptions import Sighting, StripeState, Subscription, SubscriptionInvoice


class SubscriptionLedger(Protocol):
    """What a transaction can do with subscriptions and customers."""

    async def add_subscriptions(self, subscriptions: Sequence[Subscription]) -> None:
        """Write an attempt's subscriptions with their items, in the order of the cart."""

    async def subscription(self, subscription_id: UUID) -> Subscription | None:
        """Return one subscription with its newest invoices."""

    async def hold_subscription(self, subscription_id: UUID) -> None:
        """Lock it, so that what is answered unchanged is kept as what is written is: on the standbys too."""

    async def subscription_bound_to(self, stripe_subscription_id: str) -> Subscription | None:
        """Return the subscription that is bound to a Stripe subscription, with its newest invoices."""

    async def subscriptions_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Subscription]:
        """Return a user's subscriptions older than the cursor, newest first, without their invoices."""

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int, at: datetime) -> None:
        """Note the first begin of a generation; advance the generation first, if it is the one to abandon.

        Changes nothing, not even the version, where the generation was begun already, or the subscription is bound.
        """

    async def bind(self, subscription_id: UUID, expected_version: int, state: StripeState, at: datetime) -> bool:
        """Bind the subscription and write the state. False unless it is unbound and still has the version.

        Raises StripeSubscriptionMismatch where another subscription is bound to the same Stripe subscription.
        """

    async def fail_activation(self, subscription_id: UUID, expected_version: int, failure: str, at: datetime) -> bool:
        """Note that Stripe refused for good and advance the generation.

        False unless it is unbound, has the version, and is pending or was begun again.
        """

    async def apply_state(self, subscription_id: UUID, sighting: Sighting, at: datetime) -> bool:
        """Write the state. False unless the subscription still has the version and is bound to that Stripe one."""

    async def put_invoice(self, subscription_id: UUID, invoice: SubscriptionInvoice, at: datetime) -> bool:
        """Write an invoice. False where it is another subscription's."""

    async def add_customer(self, user_id: str, stripe_customer_id: str, at: datetime) -> bool:
        """Make a Stripe customer the user's. False where the user has one, or somebody else has this one."""

    async def replace_customer(self, user_id: str, replaced: str, stripe_customer_id: str, at: datetime) -> bool:
        """Replace the user's customer. False where the named one is not the user's, or somebody else has this one."""

    async def customer_of(self, user_id: str) -> str | None:
        """Return the id of a user's Stripe customer."""
