"""What to do when Stripe says that something was refunded."""

from payments_gateway.adjustments import AdjustmentGone, AdjustmentUnusable, Refund, RefundsOfCharges
from payments_gateway.copying import Copying, acknowledge


class Refunds:
    """Keeps orders' copies of refunds."""

    def __init__(self, copying: Copying[Refund], of_charges: RefundsOfCharges) -> None:
        """Copy refunds one by one, and find those of a charge."""
        self._copying = copying
        self._of_charges = of_charges

    async def refresh(self, refund_id: str) -> None:
        """Make the copy of a refund agree with Stripe. Raises what Copying.refresh raises."""
        await self._copying.refresh(refund_id)

    async def refresh_charge(self, charge_id: str) -> None:
        """Do the same for every refund of a charge: its event says that there is one more, but not which."""
        try:
            refund_ids = await self._of_charges.ids_of_charge(charge_id)
        except (AdjustmentGone, AdjustmentUnusable) as why:
            acknowledge("charge", charge_id, why)
            return
        for refund_id in refund_ids:
            await self._copying.refresh(refund_id)
