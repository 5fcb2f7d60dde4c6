"""What a deed is: something that is asked of a gateway and makes it call others.

Each deed has a cart of its own sum and a request id of its own, so that a fault can be set for it alone while others
go on beside it. The deeds themselves stand beside, by their road: checkout, subscription, purchase, adjustment deeds.
"""

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from .harness.knobs import Knobs
from .harness.shop import Cart, Checkout, Reply, Shop
from .harness.system import System
from .situations import ORDERS, Calls, Road

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
    refunded: int = 0
    """What the orders show, in minor units."""
    disputed: int = 0
    """The same."""


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

    calls: ClassVar[Calls]
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
