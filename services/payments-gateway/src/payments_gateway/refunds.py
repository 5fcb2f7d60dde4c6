"""What to do when Stripe says that something was refunded."""

import asyncio
from typing import Final

from payments_gateway.adjustments import AdjustmentGone, AdjustmentUnusable, Refund, RefundsOfCharges
from payments_gateway.copying import Copying, acknowledge

_AT_ONCE: Final = 8
"""So many refunds of a charge are looked at at the same time: Stripe waits for the answer some seconds only."""


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
        """Do the same for every refund of a charge: its event says that there is one more, but not which.

        One that cannot be copied now keeps none of the others waiting.
        """
        try:
            refund_ids = await self._of_charges.ids_of_charge(charge_id)
        except (AdjustmentGone, AdjustmentUnusable) as why:
            acknowledge("charge", charge_id, why)
            return
        gate = asyncio.Semaphore(_AT_ONCE)

        async def refresh_in_turn(refund_id: str) -> None:
            async with gate:
                await self._copying.refresh(refund_id)

        outcomes = await asyncio.gather(*map(refresh_in_turn, refund_ids), return_exceptions=True)
        for failure in outcomes:
            if failure is not None:
                raise failure
