"""What to do when Stripe says that something was refunded."""

from payments_gateway.adjustments import Refund, RefundsOfCharges
from payments_gateway.copying import Copying


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
        for refund_id in await self._of_charges.ids_of_charge(charge_id):
            await self._copying.refresh(refund_id)
