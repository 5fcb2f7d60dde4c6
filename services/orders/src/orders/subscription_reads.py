"""Reading subscriptions."""

from dataclasses import astuple
from uuid import UUID

from orders.ledger import BeginUnit
from orders.pages import Cursor, Page, PageRequest, bytes_of, cut_page
from orders.subscriptions import Subscription, SubscriptionNotFound

_SUBSCRIPTION_BYTES = 1024
_ITEM_BYTES = 128


class SubscriptionReader:
    """Reads what was begun and how it stands."""

    def __init__(self, begin: BeginUnit) -> None:
        self._begin = begin

    async def by_id(self, subscription_id: UUID) -> Subscription:
        """Return one subscription. Raises SubscriptionNotFound."""
        async with self._begin() as ledger:
            return _found(await ledger.subscription(subscription_id))

    async def bound_to(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription of a Stripe subscription. Raises SubscriptionNotFound."""
        async with self._begin() as ledger:
            return _found(await ledger.subscription_bound_to(stripe_subscription_id))

    async def of_user(self, user_id: str, request: PageRequest) -> Page[Subscription]:
        """Return a user's subscriptions, newest first, without their invoices."""
        async with self._begin() as ledger:
            rows = await ledger.subscriptions_of(user_id, request.before, request.size + 1)
        return cut_page(rows, request.size, weigh=_weigh, cursor=_cursor)


def _found(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise SubscriptionNotFound
    return subscription


def _cursor(subscription: Subscription) -> Cursor:
    return Cursor(subscription.created_at, str(subscription.id))


def _weigh(subscription: Subscription) -> int:
    items = sum(_ITEM_BYTES + bytes_of(item.price_id, item.product_id, item.name) for item in subscription.items)
    return _SUBSCRIPTION_BYTES + _weigh_ids(subscription) + _weigh_recipient(subscription) + items


def _weigh_ids(subscription: Subscription) -> int:
    state = subscription.state
    return bytes_of(
        subscription.checkout_attempt_id,
        subscription.intent.id,
        subscription.user_id,
        subscription.stripe_customer_id,
        subscription.payment_method_id,
        subscription.activation.failure,
        # The Stripe id is there twice: by itself and in the state.
        *((state.stripe_subscription_id, state.stripe_subscription_id, state.latest_invoice_id) if state else ()),
    )


def _weigh_recipient(subscription: Subscription) -> int:
    contact = astuple(subscription.contact) if subscription.contact else ()
    address = astuple(subscription.shipping_address) if subscription.shipping_address else ()
    return bytes_of(*contact, *address)
