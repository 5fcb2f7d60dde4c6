"""Refunds and disputes, kept by Stripe."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import stripe

from payments_gateway.domain.intents import ATTEMPT_ID_KEY
from payments_gateway.domain.refunds import Dispute, DisputeStatus, PaymentRef, Refund, RefundStatus
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.stripe_api.fields import read_amount, read_id, read_moment

_PAGE: Final = 100


class StripeRefunds:
    """The StripeObjects port of refunds, and ChargeRefundsPort."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once."""
        self._refunds = client.v1.refunds

    async def retrieve(self, object_id: str) -> Refund:
        """Return a refund as it stands now."""
        with _failures_named():
            return read_refund(
                (await self._refunds.retrieve_async(object_id, {"expand": ["payment_intent"]})).to_dict()
            )

    async def list_refund_ids(self, charge_id: str) -> list[str]:
        """Return the ids of all refunds of a charge, of every page."""
        with _failures_named():
            listed = await self._refunds.list_async({"charge": charge_id, "limit": _PAGE})
            return [refund.id async for refund in listed.auto_paging_iter()]


class StripeDisputes:
    """The StripeObjects port of disputes."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once."""
        self._disputes = client.v1.disputes

    async def retrieve(self, object_id: str) -> Dispute:
        """Return a dispute as it stands now."""
        with _failures_named():
            shown = await self._disputes.retrieve_async(object_id, {"expand": ["payment_intent"]})
            return read_dispute(shown.to_dict())


def read_refund(fields: Mapping[str, Any]) -> Refund:
    """Read a refund, with its intent expanded, from Stripe's JSON. Raises KeyError, TypeError, ValueError."""
    return Refund(
        id=read_id(fields["id"]),
        payment=_read_payment_ref(fields.get("payment_intent")),
        charge_id=_read_reference(fields.get("charge")),
        amount=read_amount(fields["amount"], fields["currency"]),
        status=RefundStatus(fields["status"]),
        created_at=read_moment(fields["created"]),
    )


def read_dispute(fields: Mapping[str, Any]) -> Dispute:
    """Read a dispute, with its intent expanded, from Stripe's JSON. Raises KeyError, TypeError, ValueError."""
    return Dispute(
        id=read_id(fields["id"]),
        payment=_read_payment_ref(fields.get("payment_intent")),
        charge_id=_read_reference(fields.get("charge")),
        amount=read_amount(fields["amount"], fields["currency"]),
        status=DisputeStatus(fields["status"]),
        reason=fields.get("reason"),
        created_at=read_moment(fields["created"]),
    )


def _read_payment_ref(intent: Mapping[str, Any] | None) -> PaymentRef | None:
    if intent is None:
        return None
    attempt_id = (intent.get("metadata") or {}).get(ATTEMPT_ID_KEY)
    return PaymentRef(read_id(intent["id"]), attempt_id, livemode=bool(intent["livemode"]))


def _read_reference(value: Any) -> str | None:
    return None if value is None else read_id(value)


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the library's errors, and what cannot be read, into ours. Their messages stay behind (P7)."""
    try:
        yield
    except stripe.InvalidRequestError as refused:
        raise (NotFoundAtStripe if refused.code == "resource_missing" else StripeUnavailable) from None
    except stripe.StripeError:
        raise StripeUnavailable from None
    except (AttributeError, KeyError, TypeError, ValueError) as unread:
        raise UnsupportedStripeObject from unread
