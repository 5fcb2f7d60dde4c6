"""All refunds of a charge are looked at: a few at once, and each for itself."""

import asyncio

import pytest

from payments_gateway.adjustments import AdjustmentKeepsChanging
from payments_gateway.copying import Copying
from payments_gateway.refunds import Refunds

IDS = [f"re_{number}_of_ch_1" for number in range(30)]


class Charges:
    """One charge with many refunds."""

    async def ids_of_charge(self, charge_id: str) -> list[str]:
        """List them."""
        return [f"re_{number}_of_{charge_id}" for number in range(30)]


class Copier(Copying):  # type: ignore[type-arg]
    """Notes what is copied and how many at the same time; one cannot be copied."""

    def __init__(self, broken: str = "") -> None:
        self.copied: list[str] = []
        self.at_once = self.most = 0
        self._broken = broken

    async def refresh(self, object_id: str) -> None:
        """Take a while."""
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if object_id == self._broken:
            raise AdjustmentKeepsChanging
        self.copied.append(object_id)


async def test_many_refunds_are_looked_at_a_few_at_a_time() -> None:
    """Stripe waits some seconds for the answer, and has other calls of ours to answer."""
    copier = Copier()

    await Refunds(copier, Charges()).refresh_charge("ch_1")

    assert sorted(copier.copied) == sorted(IDS)
    assert copier.most == 8


async def test_a_refund_that_cannot_be_copied_keeps_no_other_waiting() -> None:
    """The event is asked for again, and the others are there already."""
    copier = Copier(broken=IDS[0])

    with pytest.raises(AdjustmentKeepsChanging):
        await Refunds(copier, Charges()).refresh_charge("ch_1")

    assert sorted(copier.copied) == sorted(IDS[1:])
