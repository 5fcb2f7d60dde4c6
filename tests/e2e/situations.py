"""What every way through the gateway has in common: a situation that a buyer or Stripe sets off, and how it ends.

The ways themselves stand beside, by their road: initiate, fulfilment, adjustment and billing situations.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import aiohttp

from .conftest import until
from .harness.knobs import Knobs
from .harness.shop import Checkout, Reply, Shop
from .harness.system import System

SUCCEEDED: Final = "payment_intent.succeeded"
SESSION: Final = "/checkout.session.v1.CheckoutSessionService"
ORDERS: Final = "/checkout.orders.v1.OrdersService"
_OK: Final = 200
CONFLICT: Final = 409


class Road(StrEnum):
    """Every kind of call that initiate and fulfilment make."""

    GET_ATTEMPT = f"{SESSION}/GetAttempt"
    SAVE_ATTEMPT = f"{SESSION}/SaveAttempt"
    CLOSE_ATTEMPT = f"{SESSION}/CloseAttempt"
    DELETE_ATTEMPT = f"{SESSION}/DeleteAttempt"
    GET_PURCHASE = f"{ORDERS}/GetPurchase"
    RECORD_PURCHASE = f"{ORDERS}/RecordPurchase"
    QUARANTINE_PAYMENT = f"{ORDERS}/QuarantinePayment"
    GET_CUSTOMER = f"{ORDERS}/GetCustomer"
    PUT_CUSTOMER = f"{ORDERS}/PutCustomer"
    CREATE_CUSTOMER = "POST /v1/customers"
    UPDATE_CUSTOMER = "POST /v1/customers/{id}"
    CREATE_SETUP = "POST /v1/setup_intents"
    RETRIEVE_SETUP = "GET /v1/setup_intents/{id}"
    CANCEL_SETUP = "POST /v1/setup_intents/{id}/cancel"
    CREATE_INTENT = "POST /v1/payment_intents"
    RETRIEVE_INTENT = "GET /v1/payment_intents/{id}"
    CANCEL_INTENT = "POST /v1/payment_intents/{id}/cancel"


Calls = tuple[StrEnum, ...]


@dataclass(frozen=True)
class Stage:
    """What a situation plays on."""

    system: System
    shop: Shop
    knobs: Knobs


class Situation(ABC):
    """One way through initiate or fulfilment: what is before it, what sets it off, what makes it good after a crash."""

    calls: ClassVar[Calls]
    """The outgoing calls it takes, in this order, when nothing goes wrong."""
    answer: ClassVar[int] = _OK
    """The HTTP status it comes to when nothing goes wrong."""
    set_aside_as: ClassVar[str | None] = None
    """Why the payment is quarantined; None where it becomes an order."""
    content_set_aside: ClassVar[bool] = False
    """Whether the attempt's content is quarantined with the payment."""

    checkout: Checkout
    """The checkout that is paid in the end."""
    taken_back: ClassVar[tuple[int | None, int | None]] = (None, None)
    """What the order shows as refunded and as disputed in the end, in minor units."""
    retired: Checkout | None = None
    """A checkout that was granted and must never be paid."""

    def __init__(self, stage: Stage) -> None:
        self.system, self.shop, self.knobs = stage.system, stage.shop, stage.knobs
        self.key = str(uuid.uuid4())
        self.headers: dict[str, str] = {}
        """What tells who asks; empty for a guest."""
        self.cart = self.system.cart(mug=1)

    async def arrange(self) -> None:  # noqa: B027 - some begin with nothing
        """Bring about what the situation begins with."""

    @abstractmethod
    async def act(self) -> int | None:
        """Set it off and return the HTTP status it comes to; None if the connection breaks."""

    async def recover(self) -> None:  # noqa: B027 - some need nothing
        """Do what the buyer does afterwards. Of itself: nothing, since Stripe delivers again."""

    async def checked_out(self) -> Checkout:
        """Begin a checkout that is granted."""
        return await self.shop.checkout(self.cart, idempotency_key=self.key)

    async def asked(self) -> int | None:
        """Ask for this situation's checkout."""
        return await status_of(self.shop.initiate(self.cart, idempotency_key=self.key))

    async def refused(self) -> None:
        """Ask for this situation's checkout, which must not be granted."""
        status = await self.asked()
        if status != CONFLICT:
            raise AssertionError(f"a checkout that cannot be paid was answered {status}")

    async def paid(self, checkout: Checkout) -> None:
        """Pay; Stripe reports it at once."""
        (await self.shop.pay(checkout)).ok()

    async def paid_in_vain_by_a_stale_tab(self) -> None:
        """Pay a checkout that was superseded, as a tab that is still open on it would."""
        if self.retired and (reply := await self.shop.pay(self.retired)).status == _OK:
            raise AssertionError(f"a superseded checkout was paid: {reply.body}")

    async def paid_and_not_reported(self, checkout: Checkout) -> str:
        """Pay, and let Stripe keep the news for now; return the event's id."""
        await self.knobs.deliver(types=[SUCCEEDED], object_id=checkout.intent_id, hold=True)
        await self.paid(checkout)
        (delivery,) = await self.knobs.deliveries(object_id=checkout.intent_id, event_type=SUCCEEDED)
        return str(delivery["event_id"])

    async def first_try(self, checkout: Checkout) -> int | None:
        """Wait until Stripe's first try to report the payment is over; return what it was answered."""
        return await self.first_answer(object_id=checkout.intent_id, event_type=SUCCEEDED)

    async def first_answer(self, **event: str) -> int | None:
        """Wait until Stripe's first try to report something is over; return what it was answered."""

        async def over() -> bool:
            return bool(await self.knobs.delivery_attempts(**event))

        await until(over, "a try of the webhook")
        status = (await self.knobs.delivery_attempts(**event))[0]["status"]
        return None if status is None else int(status)


async def status_of(asking: Awaitable[Reply]) -> int | None:
    """Return what a request was answered; None if its connection broke."""
    try:
        return (await asking).status
    except aiohttp.ClientError:
        return None
