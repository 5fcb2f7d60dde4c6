"""Subscriptions and their invoices, kept by Stripe Billing."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import stripe

from payments_gateway.domain.stripe_billing import StripeInvoice, StripeSubscription, SubscriptionRefused
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    NotFoundAtStripe,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    SUBSCRIPTION_ID_KEY,
    InvoiceStatus,
    StripeSubscriptionState,
    Subscription,
    SubscriptionInvoice,
    SubscriptionStatus,
)
from payments_gateway.stripe_api.fields import (
    LEAST_MINOR_UNITS,
    is_replay,
    read_amount,
    read_count,
    read_id,
    read_moment,
)

if TYPE_CHECKING:
    from stripe.params import SubscriptionCreateParams

_log = logging.getLogger(__name__)

_PAGE: Final = 100
_CODE: Final = re.compile(r"[a-z0-9_]{1,100}")
_INVOICE: Final = "latest_invoice"
_CLIENT_SECRET: Final = "latest_invoice.confirmation_secret"  # noqa: S105 — the name of a field
_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)
_CHANGES: Final = 2
"""A change whose key replays a failure is sent once more with another key: it does nothing twice."""


class StripeSubscriptions:
    """`StripeSubscriptionsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once; its StripeHttp bounds and repeats every call."""
        self._subscriptions = client.v1.subscriptions
        self._invoices = client.v1.invoices

    async def create(self, subscription: Subscription) -> StripeSubscription:
        """Make the Stripe subscription, once per generation of its activation."""
        # Nothing here may change between two calls, or Stripe takes the second for another request: see ADR 15.
        params: SubscriptionCreateParams = {
            "customer": subscription.stripe_customer_id,
            "items": [{"price": item.price_id, "quantity": item.quantity} for item in subscription.items],
            "default_payment_method": subscription.payment_method_id,
            "off_session": True,
            "payment_behavior": "allow_incomplete",
            "metadata": {SUBSCRIPTION_ID_KEY: subscription.id},
            "expand": [_INVOICE],
        }
        if subscription.recurring.trial_days:
            params["trial_period_days"] = subscription.recurring.trial_days
        key = f"subscription:{subscription.id}:{subscription.activation_generation}"
        with _failures_named():
            answer = await self._subscriptions.create_async(params, {"idempotency_key": key})
            made = read_subscription(answer.to_dict())
        # A replayed answer shows the subscription as it was when it was made; it may have been cancelled since.
        return await self.retrieve(made.id) if is_replay(answer.last_response) else made

    async def find_existing(self, subscription: Subscription) -> StripeSubscription | None:
        """Look through all the customer's Stripe subscriptions for the one that was made for this one."""
        try:
            return await self._listed_for(subscription)
        except NotFoundAtStripe:  # of a customer that was deleted, and with it all that could be charged
            return None

    async def _listed_for(self, subscription: Subscription) -> StripeSubscription | None:
        with _looking():
            # Without status=all Stripe leaves out those that were cancelled: one of them may be ours.
            listed = await self._subscriptions.list_async(
                {
                    "customer": subscription.stripe_customer_id,
                    "status": "all",
                    "limit": _PAGE,
                    "expand": [f"data.{_INVOICE}"],
                }
            )
            async for shown in listed.auto_paging_iter():
                fields = shown.to_dict()
                if our_id(fields) == subscription.id:
                    return read_subscription(fields)
        return None

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        """Return a subscription, with its latest invoice, as it stands now."""
        with _looking():
            answer = await self._subscriptions.retrieve_async(
                stripe_subscription_id, {"expand": [_CLIENT_SECRET if with_client_secret else _INVOICE]}
            )
            return read_subscription(answer.to_dict())

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """Return an invoice as it stands now."""
        with _looking():
            fields = (await self._invoices.retrieve_async(stripe_invoice_id)).to_dict()
            return StripeInvoice(read_invoice(fields), subscription_of(fields))

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        """Let the subscription end with its current period, or not after all."""
        return await _changed(
            lambda: self._subscriptions.update_async(
                stripe_subscription_id, {"cancel_at_period_end": ends, "expand": [_INVOICE]}
            )
        )

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        """End the subscription at once; one that has ended is returned as it is."""
        try:
            return await _changed(
                lambda: self._subscriptions.cancel_async(stripe_subscription_id, {"expand": [_INVOICE]})
            )
        except NotFoundAtStripe:
            # Stripe calls one that has ended missing when it is to be cancelled, and shows it when it is asked for.
            found = await self.retrieve(stripe_subscription_id)
            if found.state.status not in ENDED_STATUSES:
                raise StripeUnavailable from None
            return found


async def _changed(change: Callable[[], Awaitable[stripe.Subscription]]) -> StripeSubscription:
    """Change a subscription, by a call that the library sends with a key of its own each time."""
    for _ in range(_CHANGES):
        try:
            with _failures_named(), _missing_is_gone():
                return read_subscription((await change()).to_dict())
        except IdempotencyKeyExhausted:
            continue
    raise StripeUnavailable


def read_subscription(fields: Mapping[str, Any]) -> StripeSubscription:
    """Read a subscription from Stripe's JSON. Raises one of _UNREADABLE if it is not one we can keep."""
    invoice = fields.get("latest_invoice")
    shown = invoice if isinstance(invoice, Mapping) else None
    secret = (shown or {}).get("confirmation_secret") or {}
    return StripeSubscription(
        state=StripeSubscriptionState(
            stripe_subscription_id=read_id(fields["id"]),
            status=SubscriptionStatus(fields["status"]),
            current_period_end=_latest(item.get("current_period_end") for item in fields["items"]["data"]),
            trial_end=_moment(fields.get("trial_end")),
            cancel_at_period_end=bool(fields.get("cancel_at_period_end")),
            cancel_at=_moment(fields.get("cancel_at")),
            canceled_at=_moment(fields.get("canceled_at")),
            ended_at=_moment(fields.get("ended_at")),
            latest_invoice_id=None if invoice is None else read_id(invoice if shown is None else shown["id"]),
        ),
        subscription_id=our_id(fields),
        livemode=bool(fields["livemode"]),
        latest_invoice=_readable_invoice(shown) if shown else None,
        client_secret=secret.get("client_secret"),
    )


def _readable_invoice(fields: Mapping[str, Any]) -> SubscriptionInvoice | None:
    """Read the latest invoice of a subscription, unless it is not understood: that holds no state back (ADR 15)."""
    try:
        return read_invoice(fields)
    except _UNREADABLE:
        _log.exception("Stripe shows a subscription with an invoice that cannot be kept")
        return None


def read_invoice(fields: Mapping[str, Any]) -> SubscriptionInvoice:
    """Read an invoice from Stripe's JSON. Raises one of _UNREADABLE if it is not one."""
    currency = fields["currency"]
    return SubscriptionInvoice(
        id=read_id(fields["id"]),
        status=InvoiceStatus(fields["status"]),
        billing_reason=read_id(fields["billing_reason"]) if fields.get("billing_reason") else "",
        total=read_amount(fields["total"], currency, least=LEAST_MINOR_UNITS),
        amount_paid=read_amount(fields["amount_paid"], currency),
        attempt_count=read_count(fields.get("attempt_count") or 0),
        created_at=read_moment(fields["created"]),
        period_start=_moment(fields.get("period_start")),
        period_end=_moment(fields.get("period_end")),
        next_payment_attempt=_moment(fields.get("next_payment_attempt")),
    )


def subscription_of(invoice: Mapping[str, Any]) -> str | None:
    """Return which subscription an invoice charges for."""
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    found = details.get("subscription")
    return (found.get("id") if isinstance(found, Mapping) else found) or None


def our_id(fields: Mapping[str, Any]) -> str | None:
    """Return metadata.subscriptionId of a subscription, or as an invoice repeats it."""
    found = (fields.get("metadata") or {}).get(SUBSCRIPTION_ID_KEY)
    return found if isinstance(found, str) else None


def _latest(moments: Iterable[int | None]) -> datetime | None:
    return _moment(max((moment for moment in moments if moment is not None), default=None))


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else read_moment(seconds)


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the library's errors, and what cannot be read, into ours. Their messages stay behind (P7)."""
    try:
        yield
    except stripe.StripeError as failure:
        raise _named(failure) from None
    except _UNREADABLE as unread:
        raise UnsupportedStripeObject from unread


@contextmanager
def _looking() -> Iterator[None]:
    """Name the failures of a look. Only what makes something can be refused for good: a look is repeated."""
    try:
        with _failures_named(), _missing_is_gone():
            yield
    except SubscriptionRefused:
        raise StripeUnavailable from None


def _named(failure: stripe.StripeError) -> Exception:
    if isinstance(failure, stripe.IdempotencyError):
        return IdempotencyKeyExhausted()
    if isinstance(failure, stripe.InvalidRequestError | stripe.CardError):
        # Anything but a code may quote what was sent (P7).
        known = _CODE.fullmatch(failure.code or "") is not None
        return SubscriptionRefused(str(failure.code) if known else "invalid_request")
    return StripeUnavailable()


@contextmanager
def _missing_is_gone() -> Iterator[None]:
    """Tell a missing object from other refusals, where it can only be the one that was asked for."""
    try:
        yield
    except stripe.InvalidRequestError as failure:
        if failure.code == "resource_missing":
            raise NotFoundAtStripe from None
        raise
