"""Scenarios before the payment of carts with a subscription alone. In the end another cart is paid instead."""

import uuid
from dataclasses import replace
from typing import Any, ClassVar, Final

from .checkout_scenarios import Begin, Replace
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import Cart, Line
from .scenario import Calls, Environment


class BeginSubscription(Begin):
    """A user who has a Stripe customer begins the checkout of a subscription."""

    calls: ClassVar[Calls] = (
        Call.GET_CUSTOMER,
        Call.CREATE_SETUP,
        Call.SAVE_ATTEMPT,
    )

    def __init__(self, environment: Environment, number: int = 1) -> None:
        super().__init__(environment, number)
        self.user_id = f"user-{uuid.uuid4()}"
        self.email = f"{self.request_id}@example.com"
        self.one_time_cart = self.cart
        self.cart = Cart([self._line("coffee")], contact={"name": "Ada Example", "email": self.email})

    async def arrange(self) -> None:
        """Begin another checkout, which creates the customer, and forget it."""
        await self.begin_with_other_key(replace(self.cart, lines=[self._line("gazette")]))
        self.secrets.clear()
        self.attempt_ids.clear()
        self.customer_id = await self.system.orders_db.customer_of(str(self.user_id))

    async def recover(self) -> None:
        """Repeat the request with the same key, change to a one-time cart, and pay that."""
        (await self.act(self.shop)).ok()
        self.retired = self.checkout
        await self.begin_with_other_key(self.one_time_cart.superseding(self.retired.attempt_id))
        await self.pay_and_return()

    def stripe_filter(self, call: Call) -> dict[str, Any]:
        """Tell the setup intent by its customer."""
        found = super().stripe_filter(call)
        return found | {"params": {"customer": str(self.customer_id)}} if call is Call.CREATE_SETUP else found

    def _line(self, product: str) -> Line:
        return Line(self.system.backend.catalogue.prices[product])


class BeginFirstSubscription(BeginSubscription):
    """A new user begins the checkout of a subscription."""

    calls: ClassVar[Calls] = (
        Call.GET_CUSTOMER,
        Call.CREATE_CUSTOMER,
        Call.UPDATE_CUSTOMER,
        Call.PUT_CUSTOMER,
        Call.CREATE_SETUP,
        Call.SAVE_ATTEMPT,
    )

    async def arrange(self) -> None:
        """Have no customer yet."""

    def stripe_filter(self, call: Call) -> dict[str, Any]:
        """Tell the customer's update by the e-mail address; nothing tells its creation."""
        method, _, path = call.partition(" ")
        params = {"email": self.email} if call is Call.UPDATE_CUSTOMER else {}
        return {"method": method, "path": path.replace("{id}", "*"), "params": params}


class BeginSubscriptionAgain(BeginSubscription):
    """A client repeats the request for a checkout of a subscription that it was granted."""

    calls: ClassVar[Calls] = (
        Call.GET_CUSTOMER,
        Call.CREATE_SETUP,
        Call.RETRIEVE_SETUP,
        Call.GET_ATTEMPT,
        Call.SAVE_ATTEMPT,
    )

    async def arrange(self) -> None:
        """Begin the checkout."""
        await self.begin()


_OF_SETUP: Final = {Call.CANCEL_INTENT: Call.CANCEL_SETUP, Call.RETRIEVE_INTENT: Call.RETRIEVE_SETUP}
"""Calls about the old checkout, whose intent is a SetupIntent."""


class ReplaceSubscription(BeginSubscription):
    """The buyer changed the cart, from a subscription to a one-time product."""

    calls: ClassVar[Calls] = tuple(_OF_SETUP.get(call, call) for call in Replace.calls)

    async def arrange(self) -> None:
        """Begin the old checkout, and change the cart."""
        self.retired = await self.begin_with_other_key(self.cart)
        self.cart = self.one_time_cart.superseding(self.retired.attempt_id)

    async def recover(self) -> None:
        """Repeat the request with the same key, and pay."""
        (await self.act(self.shop)).ok()
        await self.pay_and_return()

    def stripe_id(self, _call: Call) -> str:
        """Return the old intent."""
        return self.retired.intent_id if self.retired else ""
