"""What a buyer asks for before the payment: a checkout, another one instead, and where it stands."""

import uuid
from typing import ClassVar

from .deeds import Deed, Errand, Left
from .harness.shop import Cart, Checkout, Line, Reply, Shop
from .situations import Calls, Road


class Begin(Deed):
    """A buyer begins a checkout."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.CREATE_INTENT,
        Road.SAVE_ATTEMPT,
    )
    done = Left(payable=1, released=1, attempts=1)

    async def ask(self, door: Shop) -> Reply:
        """Ask for the checkout."""
        return await self.begin(door, self.cart, self.key)

    async def buy(self, _again: Reply) -> list[int]:
        """Pay and come back."""
        return await self.pay_and_return()

    def path_at_stripe(self, road: str) -> str:
        """Return the one path that intents are made at."""
        return road.partition(" ")[2]


class BeginAgain(Begin):
    """A client asks once more for a checkout that it was granted."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.SAVE_ATTEMPT, Road.RETRIEVE_INTENT)

    async def arrange(self) -> None:
        """Be granted the checkout."""
        (await self.begin(self.scene.shop, self.cart, self.key)).ok()

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the granted intent."""
        return f"/v1/payment_intents/{self.granted.intent_id}"


class Replace(Begin):
    """The buyer changed the cart: the new checkout supersedes the old one."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.GET_ATTEMPT,
        Road.CLOSE_ATTEMPT,
        Road.CANCEL_INTENT,
        Road.DELETE_ATTEMPT,
        Road.CREATE_INTENT,
        Road.SAVE_ATTEMPT,
    )
    old: Checkout

    async def arrange(self) -> None:
        """Be granted the old checkout, and change the cart."""
        (await self.begin(self.scene.shop, self.cart, str(uuid.uuid4()))).ok()
        self.old = self.granted
        self.cart = self.scene.system.cart(tote=1).superseding(self.old.attempt_id)

    def path_at_stripe(self, _road: str) -> str:
        """Return the path at which the old intent is cancelled."""
        return f"/v1/payment_intents/{self.old.intent_id}/cancel"


class BeginWithNewWare(Begin):
    """A buyer wants something whose price was made just now."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Errand.LIST_PRICES,
        Errand.LIST_SHIPPING_RATES,
        Road.CREATE_INTENT,
        Road.SAVE_ATTEMPT,
    )

    async def arrange(self) -> None:
        """Make the price."""
        made = await self.scene.system.stripe.v1.prices.create_async(
            {"product_data": {"name": "Something new"}, "currency": "usd", "unit_amount": self.amount}
        )
        self.cart = Cart([Line(made.id)])


class Look(BeginAgain):
    """A page asks where an open checkout stands."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.RETRIEVE_INTENT)

    async def ask(self, door: Shop) -> Reply:
        """Ask for its status."""
        path = f"/api/checkout/{self.granted.attempt_id}"
        return await door.request("GET", path, headers={"X-Request-Id": self.request_id})
