"""Refunds and disputes at Stripe."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import stripe

from payments_gateway.domain.intents import ATTEMPT_ID_KEY
from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import Dispute, DisputeStatus, PaymentRef, Refund, RefundOwner, RefundStatus
from payments_gateway.domain.settlements import RefundRefused
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable
from payments_gateway.stripe_api.calls import Rejection, is_missing, translate_errors
from payments_gateway.stripe_api.fields import read_amount, read_id, read_reference, read_time

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams, RefundListParams

_PAGE_SIZE: Final = 100


class StripeRefunds:
    """The StripeObjects port of refunds, and `RefundLister`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._refunds = client.v1.refunds

    async def retrieve(self, object_id: str) -> Refund:
        """Return a refund as it is now."""
        with translate_errors(_rejected):
            shown = await self._refunds.retrieve_async(object_id, {"expand": ["payment_intent"]})
            return refund_from_stripe(shown.to_dict())

    async def create(self, intent_id: str, amount: Money | None, *, idempotency_key: str) -> Refund:
        """Refund an amount of a payment, or the rest of it, once for each key. It carries no metadata (P1)."""
        params: RefundCreateParams = {"payment_intent": intent_id, "expand": ["payment_intent"]}
        if amount is not None:
            params["amount"] = amount.minor_units
        with translate_errors(_refused):
            created = await self._refunds.create_async(params, {"idempotency_key": idempotency_key})
            return refund_from_stripe(created.to_dict())

    async def list_refund_ids(self, owner: RefundOwner, owner_id: str) -> list[str]:
        """Return the ids of all refunds of a charge or a PaymentIntent, from every page."""
        params: RefundListParams = {"limit": _PAGE_SIZE}
        params["charge" if owner is RefundOwner.CHARGE else "payment_intent"] = owner_id
        with translate_errors(_rejected):
            listed = await self._refunds.list_async(params)
            return [refund.id async for refund in listed.auto_paging_iter()]


class StripeDisputes:
    """The StripeObjects port of disputes."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._disputes = client.v1.disputes

    async def retrieve(self, object_id: str) -> Dispute:
        """Return a dispute as it is now."""
        with translate_errors(_rejected):
            shown = await self._disputes.retrieve_async(object_id, {"expand": ["payment_intent"]})
            return dispute_from_stripe(shown.to_dict())


def refund_from_stripe(fields: Mapping[str, Any]) -> Refund:
    """Read a refund, with its intent expanded, from Stripe's JSON. Raises one of UNREADABLE."""
    return Refund(
        id=read_id(fields["id"]),
        payment=_payment_ref(fields.get("payment_intent")),
        charge_id=read_reference(fields.get("charge")),
        amount=read_amount(fields["amount"], fields["currency"]),
        status=RefundStatus(fields["status"]),
        created_at=read_time(fields["created"]),
    )


def dispute_from_stripe(fields: Mapping[str, Any]) -> Dispute:
    """Read a dispute, with its intent expanded, from Stripe's JSON. Raises one of UNREADABLE."""
    return Dispute(
        id=read_id(fields["id"]),
        payment=_payment_ref(fields.get("payment_intent")),
        charge_id=read_reference(fields.get("charge")),
        amount=read_amount(fields["amount"], fields["currency"]),
        status=DisputeStatus(fields["status"]),
        reason=fields.get("reason"),
        created_at=read_time(fields["created"]),
    )


def _payment_ref(intent: Mapping[str, Any] | None) -> PaymentRef | None:
    if intent is None:
        return None
    attempt_id = (intent.get("metadata") or {}).get(ATTEMPT_ID_KEY)
    return PaymentRef(read_id(intent["id"]), attempt_id, livemode=bool(intent["livemode"]))


def _refused(error: Rejection) -> Exception:
    return RefundRefused(error.code or "invalid_request_error")


def _rejected(error: Rejection) -> Exception:
    return NotFoundAtStripe() if is_missing(error) else StripeUnavailable()
