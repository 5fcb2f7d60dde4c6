"""What a buyer asks for before a subscription: its checkout, and another one instead."""

import uuid
from dataclasses import replace
from typing import ClassVar

from .checkout_deeds import Begin
from .deeds import Scene
from .harness.shop import Cart, Checkout, Line, Reply
from .situations import Calls, Road


class BeginSubscription(Begin):
    """A user who is Stripe's customer already begins a checkout of a subscription; something else is bought then."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.GET_CUSTOMER,
        Road.CREATE_SETUP,
        Road.SAVE_ATTEMPT,
    )

    def __init__(self, scene: Scene, number: int) -> None:
        """Prepare to ask as a user of this deed alone, who gives an e-mail address of this deed alone."""
        super().__init__(scene, number)
        self.user_id = f"user-{uuid.uuid4()}"
        self.email = f"{number}@example.com"
        self.headers = {"Authorization": f"Bearer {scene.shop.token(self.user_id)}"}
        self.once = self.cart
        coffee = Line(scene.system.backend.catalogue.prices["coffee"])
        self.cart = Cart([coffee], contact={"name": "Ada Example", "email": self.email})

    async def arrange(self) -> None:
        """Begin another checkout, which makes the customer, and turn to something else."""
        gazette = Line(self.scene.system.backend.catalogue.prices["gazette"])
        (await self.begin(self.scene.shop, replace(self.cart, lines=[gazette]), str(uuid.uuid4()))).ok()
        self.secrets.clear()
        self.attempt_ids.clear()
        self.customer_id = await self.scene.system.books.customer_of(self.user_id)

    async def buy(self, again: Reply) -> list[int]:
        """Change the cart to one that is paid once, pay that and come back."""
        changed = self.once.superseding(self.granted.attempt_id) if again.ok() else self.once
        begun = await self.begin(self.scene.shop, changed, str(uuid.uuid4()))
        return [begun.status, *await self.pay_and_return()]

    def params_at_stripe(self, road: str) -> dict[str, str]:
        """Return the customer, who is this deed's alone."""
        return {"customer": str(self.customer_id)} if road == Road.CREATE_SETUP else {}


class BeginFirstSubscription(BeginSubscription):
    """A new user begins a checkout of a subscription."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.GET_CUSTOMER,
        Road.CREATE_CUSTOMER,
        Road.UPDATE_CUSTOMER,
        Road.PUT_CUSTOMER,
        Road.CREATE_SETUP,
        Road.SAVE_ATTEMPT,
    )

    async def arrange(self) -> None:
        """Have no customer yet."""

    def path_at_stripe(self, road: str) -> str:
        """Return the path at which customers are made, or changed."""
        return "/v1/customers/*" if road == Road.UPDATE_CUSTOMER else super().path_at_stripe(road)

    def params_at_stripe(self, road: str) -> dict[str, str]:
        """Return the e-mail address; a customer is made without anything."""
        return {"email": self.email} if road == Road.UPDATE_CUSTOMER else {}


class BeginSubscriptionAgain(BeginSubscription):
    """A client asks once more for a checkout of a subscription that it was granted."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.SAVE_ATTEMPT, Road.RETRIEVE_SETUP)

    async def arrange(self) -> None:
        """Be granted the checkout."""
        (await self.begin(self.scene.shop, self.cart, self.key)).ok()

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the granted intent."""
        return f"/v1/setup_intents/{self.granted.intent_id}"


class ReplaceSubscription(BeginSubscriptionAgain):
    """The buyer changed the cart, from a subscription to something that is paid once."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.GET_ATTEMPT,
        Road.CLOSE_ATTEMPT,
        Road.CANCEL_SETUP,
        Road.DELETE_ATTEMPT,
        Road.CREATE_INTENT,
        Road.SAVE_ATTEMPT,
    )
    old: Checkout

    async def arrange(self) -> None:
        """Be granted the old checkout, and change the cart."""
        (await self.begin(self.scene.shop, self.cart, str(uuid.uuid4()))).ok()
        self.old = self.granted
        self.cart = self.once.superseding(self.old.attempt_id)

    async def buy(self, _again: Reply) -> list[int]:
        """Pay and come back."""
        return await self.pay_and_return()

    def path_at_stripe(self, _road: str) -> str:
        """Return the path at which the old intent is cancelled."""
        return f"/v1/setup_intents/{self.old.intent_id}/cancel"
