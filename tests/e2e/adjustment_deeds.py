"""What Stripe reports once an order is there: that money was sent back, or that a bank wants it back."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .adjustment_situations import AdjustmentRoad
from .deeds import Left
from .purchase_deeds import Report
from .situations import Calls

_EARLIER: Final = 100
_LATER: Final = 30
_DISPUTED: Final = 70
"""Minor units; so are the others."""


class ReportRefund(Report):
    """Stripe reports a refund of an order that shows another one already."""

    calls: ClassVar[Calls] = (AdjustmentRoad.GET_REFUND, AdjustmentRoad.RETRIEVE_REFUND, AdjustmentRoad.APPLY_REFUND)
    untold = Left(orders=1, refunded=_EARLIER)
    """What is left while orders does not know of it."""
    done = Left(orders=1, refunded=_EARLIER + _LATER)
    signed_in = True
    reported = "refund.created"

    async def arrange(self) -> None:
        """Complete the checkout, and take back what is to be reported."""
        await super().arrange()
        (await self.scene.member.come_back(self.granted)).ok()
        await self.take_back()

    async def take_back(self) -> None:
        """Refund a part, which is reported at once, and another."""
        self.subject = await self.refund(_EARLIER)
        (await self.ask(self.scene.shop)).ok()
        self.subject = await self.refund(_LATER)

    async def refund(self, amount: int) -> Mapping[str, Any]:
        """Refund a part, in minor units; return it as Stripe shows it."""
        refunds = self.scene.system.stripe.v1.refunds
        return (await refunds.create_async({"payment_intent": self.granted.intent_id, "amount": amount})).to_dict()

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the refund."""
        return f"/v1/refunds/{self.subject['id']}"


class ReportRefundedCharge(ReportRefund):
    """Stripe reports that a charge was refunded, but not by which refunds: there are two, and the newer comes first."""

    calls: ClassVar[Calls] = (AdjustmentRoad.LIST_REFUNDS, *ReportRefund.calls, *ReportRefund.calls)
    untold = Left(orders=1)
    half_told = Left(orders=1, refunded=_LATER)
    """What is left while orders knows of the newer one alone."""
    reported = "charge.refunded"

    async def take_back(self) -> None:
        """Refund two parts, and look at the charge as the report will show it."""
        self.older = await self.refund(_EARLIER)
        await self.refund(_LATER)
        self.subject = (await self.scene.system.stripe.v1.charges.retrieve_async(self.older["charge"])).to_dict()

    def path_at_stripe(self, road: str) -> str:
        """Return the path of all refunds, or of the one that is looked at last."""
        return "/v1/refunds" if road == AdjustmentRoad.LIST_REFUNDS else f"/v1/refunds/{self.older['id']}"

    def params_at_stripe(self, road: str) -> dict[str, str]:
        """Return the charge whose refunds are listed."""
        return {"charge": self.subject["id"]} if road == AdjustmentRoad.LIST_REFUNDS else {}


class ReportDispute(ReportRefund):
    """Stripe reports that a bank's inquiry, which took nothing back, became a dispute."""

    calls: ClassVar[Calls] = (AdjustmentRoad.GET_DISPUTE, AdjustmentRoad.RETRIEVE_DISPUTE, AdjustmentRoad.APPLY_DISPUTE)
    untold = Left(orders=1)
    done = Left(orders=1, disputed=_DISPUTED)
    reported = "charge.dispute.updated"

    async def take_back(self) -> None:
        """Inquire, which is reported at once, and go on to dispute."""
        dispute_id = await self.scene.knobs.dispute(
            self.granted.intent_id, amount=_DISPUTED, status="warning_needs_response"
        )
        self.subject = (await self.scene.system.stripe.v1.disputes.retrieve_async(dispute_id)).to_dict()
        (await self.ask(self.scene.shop)).ok()
        await self.scene.knobs.move_dispute(dispute_id, "needs_response")

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the dispute."""
        return f"/v1/disputes/{self.subject['id']}"
