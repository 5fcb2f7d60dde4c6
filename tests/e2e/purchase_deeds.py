"""What is asked once a payment was made: by the returning buyer, by Stripe, and by whoever looks at the order."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import stripe

from .deeds import Deed, Errand, Left
from .harness.shop import Reply, Shop
from .situations import SUCCEEDED, Calls, Road


class Return(Deed):
    """The buyer comes back from paying, and nobody else has reported it."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.RETRIEVE_INTENT,
        Road.RECORD_PURCHASE,
        Road.DELETE_ATTEMPT,
    )
    done = Left(orders=1)

    async def arrange(self) -> None:
        """Be granted the checkout, and pay it."""
        door = self.scene.member if self.signed_in else self.scene.shop
        (await self.begin(door, self.cart, self.key)).ok()
        (await self.scene.shop.pay(self.granted)).ok()

    async def ask(self, door: Shop) -> Reply:
        """Come back."""
        body = {"checkoutAttemptId": self.granted.attempt_id, "paymentIntentId": self.granted.intent_id}
        return await door.request("POST", "/api/orders", json=body, headers={"X-Request-Id": self.request_id})

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the paid intent."""
        return f"/v1/payment_intents/{self.granted.intent_id}"


class ReturnOfOneLost(Return):
    """The buyer comes back from paying, and the attempt was lost."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.RETRIEVE_INTENT,
        Road.GET_PURCHASE,
        Road.QUARANTINE_PAYMENT,
    )
    done = Left(quarantined=1)

    async def arrange(self) -> None:
        """Lose the attempt after the payment."""
        await super().arrange()
        await self.scene.system.attempts.lose_content(self.granted.attempt_id)


class Report(Return):
    """Stripe reports the payment; we sign in its place, so that one report is one request."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.RECORD_PURCHASE, Road.DELETE_ATTEMPT)
    reported: ClassVar[str] = SUCCEEDED
    """The type of the event."""
    subject: Mapping[str, Any]
    """What the event is about, as it shows it."""

    async def arrange(self) -> None:
        """Look at the intent as the report will show it."""
        await super().arrange()
        paid = await self.scene.system.stripe.v1.payment_intents.retrieve_async(self.granted.intent_id)
        self.subject = paid.to_dict()

    async def ask(self, door: Shop) -> Reply:
        """Deliver the event."""
        event = {"id": f"evt_{self.key}", "object": "event", "type": self.reported, "data": {"object": self.subject}}
        body = json.dumps(event)
        secret = self.scene.system.backend.addresses.webhook_secret
        headers = {
            "Content-Type": "application/json",
            "Stripe-Signature": stripe.WebhookSignature.generate_signature_header(body, secret),
            "X-Request-Id": self.request_id,
        }
        return await door.request("POST", "/api/stripe/webhook", data=body.encode(), headers=headers)


class LookAfterwards(Return):
    """A page asks where a completed checkout stands."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.GET_PURCHASE)

    async def arrange(self) -> None:
        """Complete the checkout."""
        await super().arrange()
        (await self.scene.shop.come_back(self.granted)).ok()

    async def ask(self, door: Shop) -> Reply:
        """Ask for its status."""
        path = f"/api/checkout/{self.granted.attempt_id}"
        return await door.request("GET", path, headers={"X-Request-Id": self.request_id})


class ListOrders(Return):
    """A user looks at their orders."""

    calls: ClassVar[Calls] = (Errand.LIST_ORDERS,)
    signed_in = True

    async def arrange(self) -> None:
        """Buy something as that user."""
        await super().arrange()
        (await self.scene.member.come_back(self.granted)).ok()

    async def ask(self, door: Shop) -> Reply:
        """Ask for the list."""
        return await self.look(door, "/api/orders")

    async def look(self, door: Shop, path: str) -> Reply:
        """Ask for something as the user, at whichever gateway."""
        user_id = self.scene.member.user_id or ""
        headers = {"X-Request-Id": self.request_id, "Authorization": f"Bearer {door.token(user_id)}"}
        return await door.request("GET", path, headers=headers)


class ReadOrder(ListOrders):
    """A user looks at one of their orders."""

    calls: ClassVar[Calls] = (Errand.GET_ORDER,)
    order_id: str

    async def arrange(self) -> None:
        """Learn the order's id."""
        await super().arrange()
        (order,) = await self.scene.system.books.orders_of(self.granted.attempt_id)
        self.order_id = str(order["id"])

    async def ask(self, door: Shop) -> Reply:
        """Ask for the order."""
        return await self.look(door, f"/api/orders/{self.order_id}")
