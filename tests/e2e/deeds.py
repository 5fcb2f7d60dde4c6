"""Everything that is asked of a gateway and makes it call others: what went before, the asking, and what it comes to.

Each deed has a cart of its own sum and a request id of its own, so that a fault can be set for it alone while others
go on beside it.
"""

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Final

import stripe

from .harness.knobs import Knobs
from .harness.shop import Cart, Checkout, Line, Reply, Shop
from .harness.system import System
from .situations import ORDERS, SUCCEEDED, Road

_INITIATE: Final = "/api/stripe/initiate-checkout"
_MUG: Final = 1800
_SHIPPING: Final = 500


class Errand(StrEnum):
    """Kinds of calls that neither initiate nor fulfilment makes."""

    LIST_ORDERS = f"{ORDERS}/ListOrders"
    GET_ORDER = f"{ORDERS}/GetOrder"
    LIST_PRICES = "GET /v1/prices"
    LIST_SHIPPING_RATES = "GET /v1/shipping_rates"


@dataclass(frozen=True)
class Left:
    """What there is of a deed's attempts afterwards."""

    payable: int = 0
    """Intents at Stripe that could still be paid by whoever knew their secret."""
    released: int = 0
    """Of these, the ones whose secret anybody was given. Never more than one (P2, and nobody pays twice)."""
    attempts: int = 0
    """Contents in Redis."""
    orders: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class Scene:
    """What deeds are done on. Deeds prepare at the first gateway, whichever they are done at."""

    system: System
    knobs: Knobs
    shop: Shop
    """The gateway that deeds are prepared and repeated at, as a guest."""
    member: Shop
    """The same, as a signed-in user."""


class Deed(ABC):
    """One request to a gateway."""

    calls: ClassVar[tuple[Road | Errand, ...]]
    """The outgoing calls that it takes when nothing goes wrong."""
    done: ClassVar[Left]
    """What is left when it succeeded."""
    signed_in: ClassVar[bool] = False

    def __init__(self, scene: Scene, number: int) -> None:
        """Prepare to do it; number tells it from all other deeds of a system."""
        self.scene = scene
        self.request_id = uuid.uuid4().hex
        self.key = str(uuid.uuid4())
        self.headers: dict[str, str] = {}
        """What tells who asks; empty for a guest."""
        self.cart = scene.system.cart(mug=number)
        self.amount = number * _MUG + _SHIPPING
        self.secrets: set[str] = set()
        """Every client secret that was given to anybody."""
        self.attempt_ids: set[str] = set()
        self.checkout: Checkout | None = None

    async def prepare(self) -> None:
        """Bring about what went before, under another request id than the deed's own."""
        await self.arrange()
        self.request_id = uuid.uuid4().hex

    async def arrange(self) -> None:  # noqa: B027 - some begin with nothing
        """Bring about what went before."""

    @abstractmethod
    async def ask(self, door: Shop) -> Reply:
        """Do it at this gateway."""

    @abstractmethod
    def path_at_stripe(self, road: str) -> str:
        """Return the path, without ids, of this deed's call by a road."""

    def params_at_stripe(self, road: str) -> dict[str, str]:
        """Return what tells this deed's call by a road from others' to the same path."""
        return {"amount": str(self.amount)} if road == Road.CREATE_INTENT else {}

    async def see_it_through(self) -> list[int]:
        """Ask again as buyer or Stripe would, and go on to the purchase; return the statuses on the way."""
        again = await self.ask(self.scene.shop)
        return [again.status, *await self.buy(again)]

    async def buy(self, _again: Reply) -> list[int]:
        """Go on from the repeated answer to the purchase. Of itself: nothing is left to do."""
        return []

    async def begin(self, door: Shop, cart: Cart, key: str) -> Reply:
        """Ask for a checkout, and keep what was given."""
        headers = {"Idempotency-Key": key, "X-Request-Id": self.request_id, **self.headers}
        return self.keep(await door.request("POST", _INITIATE, json=cart.as_body(), headers=headers))

    def keep(self, reply: Reply) -> Reply:
        """Note the secret and the id that an answer gives."""
        if reply.body and "clientSecret" in reply.body:
            body = reply.body
            self.secrets.add(body["clientSecret"])
            self.attempt_ids.add(body["checkoutAttemptId"])
            self.checkout = Checkout(
                body["checkoutAttemptId"], body["clientSecret"], body["intentAmount"], body["currency"]
            )
        return reply

    @property
    def granted(self) -> Checkout:
        """The checkout that was given last."""
        if self.checkout is None:
            raise LookupError("no checkout was granted")
        return self.checkout

    async def pay_and_return(self) -> list[int]:
        """Pay what was granted, and come back."""
        paid = await self.scene.shop.pay(self.granted)
        returned = await self.scene.shop.come_back(self.granted, headers=self.headers)
        return [paid.status, returned.status]


class Begin(Deed):
    """A buyer begins a checkout."""

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Road.GET_ATTEMPT, Road.SAVE_ATTEMPT, Road.RETRIEVE_INTENT)

    async def arrange(self) -> None:
        """Be granted the checkout."""
        (await self.begin(self.scene.shop, self.cart, self.key)).ok()

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the granted intent."""
        return f"/v1/payment_intents/{self.granted.intent_id}"


class Replace(Begin):
    """The buyer changed the cart: the new checkout supersedes the old one."""

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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


class BeginSubscription(Begin):
    """A user who is Stripe's customer already begins a checkout of a subscription; something else is bought then."""

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Road.GET_ATTEMPT, Road.SAVE_ATTEMPT, Road.RETRIEVE_SETUP)

    async def arrange(self) -> None:
        """Be granted the checkout."""
        (await self.begin(self.scene.shop, self.cart, self.key)).ok()

    def path_at_stripe(self, _road: str) -> str:
        """Return the path of the granted intent."""
        return f"/v1/setup_intents/{self.granted.intent_id}"


class ReplaceSubscription(BeginSubscriptionAgain):
    """The buyer changed the cart, from a subscription to something that is paid once."""

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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


class BeginWithNewWare(Begin):
    """A buyer wants something whose price was made just now."""

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Road.GET_ATTEMPT, Road.RETRIEVE_INTENT)

    async def ask(self, door: Shop) -> Reply:
        """Ask for its status."""
        path = f"/api/checkout/{self.granted.attempt_id}"
        return await door.request("GET", path, headers={"X-Request-Id": self.request_id})


class Return(Deed):
    """The buyer comes back from paying, and nobody else has reported it."""

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Road.GET_ATTEMPT, Road.RECORD_PURCHASE, Road.DELETE_ATTEMPT)
    intent: Mapping[str, Any]

    async def arrange(self) -> None:
        """Look at the intent as the report will show it."""
        await super().arrange()
        paid = await self.scene.system.stripe.v1.payment_intents.retrieve_async(self.granted.intent_id)
        self.intent = paid.to_dict()

    async def ask(self, door: Shop) -> Reply:
        """Deliver the event."""
        event = {"id": f"evt_{self.key}", "object": "event", "type": SUCCEEDED, "data": {"object": self.intent}}
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Road.GET_ATTEMPT, Road.GET_PURCHASE)

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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Errand.LIST_ORDERS,)
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

    calls: ClassVar[tuple[Road | Errand, ...]] = (Errand.GET_ORDER,)
    order_id: str

    async def arrange(self) -> None:
        """Learn the order's id."""
        await super().arrange()
        (order,) = await self.scene.system.books.orders_of(self.granted.attempt_id)
        self.order_id = str(order["id"])

    async def ask(self, door: Shop) -> Reply:
        """Ask for the order."""
        return await self.look(door, f"/api/orders/{self.order_id}")


DEEDS: Final[tuple[type[Deed], ...]] = (
    Begin,
    BeginAgain,
    Replace,
    BeginSubscription,
    BeginFirstSubscription,
    BeginSubscriptionAgain,
    ReplaceSubscription,
    BeginWithNewWare,
    Look,
    Return,
    ReturnOfOneLost,
    Report,
    LookAfterwards,
    ListOrders,
    ReadOrder,
)
