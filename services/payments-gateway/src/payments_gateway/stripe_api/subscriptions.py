"""Subscriptions and their invoices at Stripe Billing."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import stripe

from payments_gateway.domain.stripe_billing import StripeInvoice, StripeSubscription, SubscriptionRefused
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    SUBSCRIPTION_ID_KEY,
    InvoiceStatus,
    Subscription,
    SubscriptionInvoice,
    SubscriptionStatus,
)
from payments_gateway.stripe_api.calls import UNREADABLE, Rejection, is_missing, translate_errors, with_fresh_key
from payments_gateway.stripe_api.fields import (
    MIN_CREDIT,
    is_replay,
    read_amount,
    read_count,
    read_id,
    read_optional_time,
    read_reference,
    read_time,
)
from payments_gateway.stripe_api.subscription_states import (
    ITEM_FIELDS,
    LISTED_ITEM_FIELDS,
    STATE_FIELDS,
    lacks_amounts,
    lacks_items,
    state_from_stripe,
)

if TYPE_CHECKING:
    from stripe.params import SubscriptionCreateParams, SubscriptionUpdateParams

_log = logging.getLogger(__name__)

_PAGE_SIZE: Final = 100
_ERROR_CODE: Final = re.compile(r"[a-z0-9_]{1,100}")
_INVOICE: Final = "latest_invoice"
_EXPANDED: Final = (_INVOICE, *STATE_FIELDS)
_CLIENT_SECRET: Final = "latest_invoice.confirmation_secret"  # noqa: S105 — the name of a field


class StripeSubscriptions:
    """`StripeSubscriptionsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._subscriptions = client.v1.subscriptions
        self._items = client.v1.subscription_items
        self._invoices = client.v1.invoices

    async def create(self, subscription: Subscription) -> StripeSubscription:
        """Create the Stripe subscription, once per generation of its activation."""
        if subscription.payment_method_id is None:
            raise ValueError("a subscription needs a payment method")
        # Every parameter must be the same in each call, or Stripe refuses the idempotency key (ADR 15).
        params: SubscriptionCreateParams = {
            "customer": subscription.stripe_customer_id,
            "items": [{"price": item.price_id, "quantity": item.quantity} for item in subscription.items],
            "default_payment_method": subscription.payment_method_id,
            "off_session": True,
            "payment_behavior": "allow_incomplete",
            # The card that pays an invoice after this one was declined is charged for the renewals, too:
            # https://docs.stripe.com/api/subscriptions/create#create_subscription-payment_settings
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "metadata": {SUBSCRIPTION_ID_KEY: subscription.id},
            "expand": [*_EXPANDED],
        }
        if subscription.recurring.trial_days:
            params["trial_period_days"] = subscription.recurring.trial_days
        key = f"subscription:{subscription.id}:{subscription.activation_generation}"
        with translate_errors(_refused):
            response = await self._subscriptions.create_async(params, {"idempotency_key": key})
            created = await self._read(response.to_dict())
        # A replayed response shows the subscription as it was created; it may have been cancelled since.
        return await self.retrieve(created.id) if is_replay(response.last_response) else created

    async def find_existing(self, subscription: Subscription) -> str | None:
        """Find the Stripe subscription that names this one, among all of the customer's; it need not be readable."""
        try:
            return await self._find_listed(subscription)
        except NotFoundAtStripe:  # the customer was deleted, and with it every subscription
            return None

    async def _find_listed(self, subscription: Subscription) -> str | None:
        with translate_errors(_read_failed):
            # Without status=all Stripe leaves cancelled ones out, and one of them may be ours.
            listed = await self._subscriptions.list_async(
                {"customer": subscription.stripe_customer_id, "status": "all", "limit": _PAGE_SIZE}
            )
            async for shown in listed.auto_paging_iter():
                fields = shown.to_dict()
                if our_id(fields) == subscription.id:
                    return read_id(fields["id"])
        return None

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        """Return a subscription, with its latest invoice, as it is now."""
        invoice = _CLIENT_SECRET if with_client_secret else _INVOICE
        with translate_errors(_read_failed):
            response = await self._subscriptions.retrieve_async(
                stripe_subscription_id, {"expand": [invoice, *STATE_FIELDS]}
            )
            found = await self._read(response.to_dict())
            if not with_client_secret or not _may_owe_an_older_invoice(found):
                return found
            return replace(found, client_secret=await self._open_client_secret(found.id))

    async def _open_client_secret(self, stripe_subscription_id: str) -> str | None:
        listed = await self._invoices.list_async(
            {
                "subscription": stripe_subscription_id,
                "status": "open",
                "limit": 1,
                "expand": ["data.confirmation_secret"],
            }
        )
        return next((_client_secret(invoice.to_dict()) for invoice in listed.data), None)

    async def _read(self, fields: dict[str, Any]) -> StripeSubscription:
        """Read a subscription. Its items are listed if it shows only some of them, or not all about them."""
        if lacks_items(fields):
            items = await self._list_items(fields["id"], fields["currency"])
            fields = {**fields, "items": {**fields["items"], "data": items or fields["items"]["data"]}}
        return subscription_from_stripe(fields)

    async def _list_items(self, stripe_subscription_id: str, currency: str) -> list[dict[str, Any]]:
        """Return all items; none if Stripe refuses to list them, which must not block the subscription's state."""
        try:
            listed = await self._items.list_async(
                {"subscription": stripe_subscription_id, "limit": _PAGE_SIZE, "expand": [*LISTED_ITEM_FIELDS]}
            )
            items = [each.to_dict() async for each in listed.auto_paging_iter()]
            return [await self._with_amounts(item) if lacks_amounts(item, currency) else item for item in items]
        except (stripe.InvalidRequestError, stripe.CardError):
            _log.error(
                "items of a subscription cannot be listed", extra={"stripe_subscription": stripe_subscription_id}
            )
            return []

    async def _with_amounts(self, item: dict[str, Any]) -> dict[str, Any]:
        return (await self._items.retrieve_async(item["id"], {"expand": [*ITEM_FIELDS]})).to_dict()

    async def find_by_item(self, stripe_item_id: str) -> str:
        """Retrieve the item, which names its subscription."""
        with translate_errors(_read_failed):
            return read_id((await self._items.retrieve_async(stripe_item_id)).to_dict()["subscription"])

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """Return an invoice as it is now."""
        with translate_errors(_read_failed):
            fields = (await self._invoices.retrieve_async(stripe_invoice_id)).to_dict()
            return StripeInvoice(invoice_from_stripe(fields), stripe_subscription_id(fields))

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        """Let the subscription end with its current period, or continue after all."""
        change: SubscriptionUpdateParams = {"cancel_at_period_end": ends}
        if not ends:
            found = await self.retrieve(stripe_subscription_id)
            if not found.state.ends_with_a_period:
                return found  # it does not end, or at a date of the shop's own
            if not found.state.cancel_at_period_end:
                change = {"cancel_at": ""}
        return await self._change(
            lambda: self._subscriptions.update_async(stripe_subscription_id, {**change, "expand": [*_EXPANDED]})
        )

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        """End the subscription at once; one that has ended is returned unchanged."""
        try:
            return await self._change(
                lambda: self._subscriptions.cancel_async(stripe_subscription_id, {"expand": [*_EXPANDED]})
            )
        except NotFoundAtStripe:
            # Stripe calls an ended subscription missing when it is cancelled, and shows it when it is retrieved.
            found = await self.retrieve(stripe_subscription_id)
            if found.state.status not in ENDED_STATUSES:
                raise StripeUnavailable from None
            return found

    async def _change(self, change: Callable[[], Awaitable[stripe.Subscription]]) -> StripeSubscription:
        async def changed() -> StripeSubscription:
            with translate_errors(_change_refused):
                return await self._read((await change()).to_dict())

        return await with_fresh_key(changed)


def subscription_from_stripe(fields: Mapping[str, Any]) -> StripeSubscription:
    """Read a subscription from Stripe's JSON. Raises one of UNREADABLE if it cannot be stored."""
    invoice = fields.get("latest_invoice")
    expanded = invoice if isinstance(invoice, Mapping) else None
    return StripeSubscription(
        state=state_from_stripe(fields),
        subscription_id=our_id(fields),
        latest_invoice=_readable_invoice(expanded) if expanded else None,
        client_secret=_client_secret(expanded) if expanded else None,
    )


def _may_owe_an_older_invoice(found: StripeSubscription) -> bool:
    """Return True if the invoice to pay may not be the latest one.

    That may be a draft, for an hour or more, or was paid at once while the older one was a draft, or at the bank, which
    leaves the subscription active.
    Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses (past_due)
    """
    renewed = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)
    return found.state.status in renewed and found.client_secret is None


def _client_secret(invoice: Mapping[str, Any]) -> str | None:
    """Return the client secret that pays an open invoice, if it is expanded."""
    secret: Mapping[str, str] = invoice.get("confirmation_secret") or {}
    return secret.get("client_secret") if invoice["status"] == InvoiceStatus.OPEN else None


def _readable_invoice(fields: Mapping[str, Any]) -> SubscriptionInvoice | None:
    """Read the latest invoice; None if it is unreadable, which must not block the subscription's state (ADR 15)."""
    try:
        return invoice_from_stripe(fields)
    except UNREADABLE:
        _log.exception("latest invoice of a subscription cannot be read")
        return None


def invoice_from_stripe(fields: Mapping[str, Any]) -> SubscriptionInvoice:
    """Read an invoice from Stripe's JSON. Raises one of UNREADABLE."""
    currency = fields["currency"]
    return SubscriptionInvoice(
        id=read_id(fields["id"]),
        status=InvoiceStatus(fields["status"]),
        billing_reason=read_id(fields["billing_reason"]) if fields.get("billing_reason") else "",
        total=read_amount(fields["total"], currency, minimum=MIN_CREDIT),
        amount_paid=read_amount(fields["amount_paid"], currency),
        attempt_count=read_count(fields.get("attempt_count") or 0),
        created_at=read_time(fields["created"]),
        period_start=read_optional_time(fields.get("period_start")),
        period_end=read_optional_time(fields.get("period_end")),
        next_payment_attempt=read_optional_time(fields.get("next_payment_attempt")),
    )


def stripe_subscription_id(invoice: Mapping[str, Any]) -> str | None:
    """Return the id of the Stripe subscription that an invoice charges for, in the form of any API version.

    Up to 2025-02-24.acacia it is a field of the invoice itself.
    Source: https://docs.stripe.com/changelog/basil/2025-03-31/adds-new-parent-field-to-invoicing-objects
    """
    named = subscription_details(invoice).get("subscription") or invoice.get("subscription")
    return read_reference(named or None)


def subscription_details(invoice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an invoice's copy of its subscription's metadata and id, in the form of any API version; maybe empty."""
    parent = invoice.get("parent") or invoice
    details: Mapping[str, Any] = parent.get("subscription_details") or {}
    return details


def our_id(fields: Mapping[str, Any]) -> str | None:
    """Return metadata.subscriptionId of a subscription, or of an invoice's copy of that metadata."""
    subscription_id = (fields.get("metadata") or {}).get(SUBSCRIPTION_ID_KEY)
    return subscription_id if isinstance(subscription_id, str) else None


def _refused(error: Rejection) -> Exception:
    code = error.code or ""  # the message may quote the request (P7)
    return SubscriptionRefused(code if _ERROR_CODE.fullmatch(code) else "invalid_request")


def _change_refused(error: Rejection) -> Exception:
    return NotFoundAtStripe() if is_missing(error) else _refused(error)


def _read_failed(error: Rejection) -> Exception:
    return NotFoundAtStripe() if is_missing(error) else StripeUnavailable()
