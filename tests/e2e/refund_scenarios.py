"""Scenarios after the order: Stripe reports refunds and disputes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import Reply, Shop
from .payment_scenarios import ReadCompleted
from .scenario import MEMBER, Calls, ExpectedState

_EARLIER: Final = 100
"""Minor units; the same holds for the others."""
_LATER: Final = 30
_DISPUTED: Final = 70


class ReportRefund(ReadCompleted):
    """Stripe reports a refund of an order that shows another refund already."""

    calls: ClassVar[Calls] = (Call.GET_REFUND, Call.RETRIEVE_REFUND, Call.APPLY_REFUND)
    unreported = ExpectedState(orders=1, refunded=_EARLIER)
    """The state while orders does not know of the subject; subclasses have their own."""
    leaves = ExpectedState(orders=1, refunded=_EARLIER + _LATER)
    user_id = MEMBER
    event_type: ClassVar[str] = "refund.created"
    subject: Mapping[str, Any]
    """The event's object."""

    async def arrange(self) -> None:
        """Complete the checkout, and take money back."""
        await super().arrange()
        await self.take_back()

    async def take_back(self) -> None:
        """Refund a part, which is reported, and another."""
        self.subject = await self.refund(_EARLIER)
        (await self.act(self.shop)).ok()
        self.subject = await self.refund(_LATER)

    async def refund(self, amount: int) -> Mapping[str, Any]:
        """Refund a part and return the refund."""
        created = await self.stripe.refunds.create_async({"payment_intent": self.checkout.intent_id, "amount": amount})
        return created.to_dict()

    async def act(self, door: Shop) -> Reply:
        """Deliver the event."""
        return await self.deliver(door, self.event_type, self.subject)

    def stripe_id(self, _call: Call) -> str:
        """Return the subject's id."""
        return str(self.subject["id"])


class ReportRefundedCharge(ReportRefund):
    """Stripe reports a refunded charge without its refunds: there are two, and the newer is looked up first."""

    calls: ClassVar[Calls] = (Call.LIST_REFUNDS, *ReportRefund.calls, *ReportRefund.calls)
    unreported = ExpectedState(orders=1)
    half_reported = ExpectedState(orders=1, refunded=_LATER)
    """The state while orders knows of the newer refund alone."""
    event_type = "charge.refunded"

    async def take_back(self) -> None:
        """Refund two parts, and retrieve the charge."""
        self.older = await self.refund(_EARLIER)
        await self.refund(_LATER)
        self.subject = (await self.stripe.charges.retrieve_async(self.older["charge"])).to_dict()

    def stripe_filter(self, call: Call) -> dict[str, Any]:
        """Tell the list of refunds by its charge."""
        found = super().stripe_filter(call)
        return found | {"params": {"charge": self.subject["id"]}} if call is Call.LIST_REFUNDS else found

    def stripe_id(self, _call: Call) -> str:
        """Return the refund that is looked up last."""
        return str(self.older["id"])


class ReportDispute(ReportRefund):
    """Stripe reports that an inquiry, which took nothing back, became a dispute."""

    calls: ClassVar[Calls] = (Call.GET_DISPUTE, Call.RETRIEVE_DISPUTE, Call.APPLY_DISPUTE)
    unreported = ExpectedState(orders=1)
    leaves = ExpectedState(orders=1, disputed=_DISPUTED)
    event_type = "charge.dispute.updated"

    async def take_back(self) -> None:
        """Open an inquiry, which is reported, and turn it into a dispute."""
        dispute_id = await self.control_api.open_dispute(
            self.checkout.intent_id, amount=_DISPUTED, status="warning_needs_response"
        )
        self.subject = (await self.stripe.disputes.retrieve_async(dispute_id)).to_dict()
        (await self.act(self.shop)).ok()
        await self.control_api.move_dispute(dispute_id, "needs_response")
