"""Every way through initiate and fulfilment, as a buyer and Stripe set it off, and the outgoing calls that it takes."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

import aiohttp

from .conftest import until
from .harness.checkpoint import Trap
from .harness.knobs import Knobs
from .harness.shop import Cart, Checkout, Line, Reply, Shop
from .harness.system import System

SUCCEEDED: Final = "payment_intent.succeeded"
SESSION: Final = "/checkout.session.v1.CheckoutSessionService"
ORDERS: Final = "/checkout.orders.v1.OrdersService"
_OK: Final = 200
_CONFLICT: Final = 409


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


class AdjustmentRoad(StrEnum):
    """Every kind of call that keeping refunds and disputes makes."""

    GET_REFUND = f"{ORDERS}/GetRefund"
    APPLY_REFUND = f"{ORDERS}/ApplyRefund"
    GET_DISPUTE = f"{ORDERS}/GetDispute"
    APPLY_DISPUTE = f"{ORDERS}/ApplyDispute"
    RETRIEVE_REFUND = "GET /v1/refunds/{id}"
    LIST_REFUNDS = "GET /v1/refunds"
    RETRIEVE_DISPUTE = "GET /v1/disputes/{id}"


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
        return await _status_of(self.shop.initiate(self.cart, idempotency_key=self.key))

    async def refused(self) -> None:
        """Ask for this situation's checkout, which must not be granted."""
        status = await self.asked()
        if status != _CONFLICT:
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

        async def over() -> bool:
            return bool(await self._tries(checkout))

        await until(over, "a try of the webhook")
        status = (await self._tries(checkout))[0]["status"]
        return None if status is None else int(status)

    async def _tries(self, checkout: Checkout) -> list[dict[str, Any]]:
        return await self.knobs.delivery_attempts(object_id=checkout.intent_id, event_type=SUCCEEDED)


class Initiate(Situation):
    """A buyer begins a checkout."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.GET_PURCHASE, Road.CREATE_INTENT, Road.SAVE_ATTEMPT)

    async def act(self) -> int | None:
        """Ask for the checkout."""
        return await self.asked()

    async def recover(self) -> None:
        """Ask again with the same key, and pay."""
        self.checkout = await self.checked_out()
        await self.paid_in_vain_by_a_stale_tab()
        await self.paid(self.checkout)


class InitiateAgain(Initiate):
    """A client asks once more for a checkout that it was granted."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.SAVE_ATTEMPT, Road.RETRIEVE_INTENT)

    async def arrange(self) -> None:
        """Begin the checkout."""
        await self.checked_out()


class InitiateTwice(Initiate):
    """A client asks again while its first request has made the intent and not yet stored the attempt."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.CREATE_INTENT,
        Road.RETRIEVE_INTENT,
        Road.SAVE_ATTEMPT,
    )
    held: Trap
    first: "asyncio.Task[int | None]"

    async def arrange(self) -> None:
        """Let a first request get as far as SaveAttempt."""
        self.held = self.system.faults.on(Road.SAVE_ATTEMPT).checkpoint.hold_next(Road.SAVE_ATTEMPT)
        self.first = asyncio.create_task(self.asked())
        await self.held.sprung()

    async def recover(self) -> None:
        """Let go of the first request, in case it still lives; ask again and pay."""
        self.held.drop()
        await self.first
        await super().recover()


class InitiateInsteadOfAnother(Initiate):
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

    async def arrange(self) -> None:
        """Begin the old checkout, and change the cart."""
        self.retired = await self.shop.checkout(self.system.cart(tote=1))
        self.cart = self.cart.superseding(self.retired.attempt_id)


class InitiateInsteadOfOnePaid(Initiate):
    """The buyer changed the cart after paying in another tab, and Stripe has not reported it yet."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.GET_ATTEMPT,
        Road.CLOSE_ATTEMPT,
        Road.CANCEL_INTENT,
        Road.RETRIEVE_INTENT,
        Road.RECORD_PURCHASE,
        Road.DELETE_ATTEMPT,
    )
    answer = _CONFLICT
    event_id: str

    async def arrange(self) -> None:
        """Pay the old checkout, and change the cart."""
        self.checkout = await self.shop.checkout(self.system.cart(tote=1))
        self.cart = self.cart.superseding(self.checkout.attempt_id)
        self.event_id = await self.paid_and_not_reported(self.checkout)

    async def recover(self) -> None:
        """Ask again; Stripe reports the payment of the old checkout."""
        await self.refused()
        await self.knobs.release_deliveries(self.event_id)


class InitiateOverruled(InitiateTwice):
    """A request finds, when it comes to store, that its checkout was granted to its repeat and superseded since."""

    # Its SaveAttempt is on its way already when the situation begins.
    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.CANCEL_INTENT, Road.RETRIEVE_INTENT)
    answer = _CONFLICT

    async def arrange(self) -> None:
        """Let the repeat be granted, and supersede it."""
        await super().arrange()
        self.retired = await self.checked_out()
        self.checkout = await self.shop.checkout(self.system.cart(tote=1).superseding(self.retired.attempt_id))

    async def act(self) -> int | None:
        """Let the first request store."""
        self.held.release()
        return await self.first

    async def recover(self) -> None:
        """Ask again in vain, and pay what is left to be paid."""
        await self.refused()
        await self.paid_in_vain_by_a_stale_tab()
        await self.paid(self.checkout)


class InitiateOfOnePaid(Initiate):
    """A client asks again for a checkout that is paid, and Stripe has not reported it yet."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.SAVE_ATTEMPT,
        Road.RETRIEVE_INTENT,
        Road.RECORD_PURCHASE,
        Road.DELETE_ATTEMPT,
    )
    answer = _CONFLICT
    event_id: str

    async def arrange(self) -> None:
        """Pay the checkout."""
        self.checkout = await self.checked_out()
        self.event_id = await self.paid_and_not_reported(self.checkout)

    async def recover(self) -> None:
        """Ask again; Stripe reports the payment."""
        await self.refused()
        await self.knobs.release_deliveries(self.event_id)


class InitiateOfOneCompleted(InitiateOfOnePaid):
    """A client asks again for a checkout that became an order."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.GET_PURCHASE)

    async def arrange(self) -> None:
        """Pay the checkout and come back."""
        await super().arrange()
        (await self.shop.come_back(self.checkout)).ok()


class InitiateSubscription(Initiate):
    """A new user begins a checkout of a subscription; in the end, another cart is paid instead."""

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

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.headers = {"Authorization": f"Bearer {self.shop.token(f'user-{uuid.uuid4()}')}"}
        self.once = self.cart
        self.cart = Cart([Line(self.system.backend.catalogue.prices["coffee"])])

    async def asked(self) -> int | None:
        """Ask for this situation's checkout as its user."""
        return await _status_of(self._begin(self.cart, self.key))

    async def checked_out(self) -> Checkout:
        """Begin a checkout that is granted."""
        return self.shop.opened(await self._begin(self.cart, self.key))

    async def recover(self) -> None:
        """Ask again with the same key; then change the cart, and pay that."""
        self.retired = await self.checked_out()
        self.checkout = self.shop.opened(
            await self._begin(self.once.superseding(self.retired.attempt_id), str(uuid.uuid4()))
        )
        await self.paid_in_vain_by_a_stale_tab()
        await self.paid(self.checkout)

    async def _begin(self, cart: Cart, key: str) -> Reply:
        return await self.shop.initiate(cart, idempotency_key=key, headers=self.headers)


class InitiateSubscriptionAgain(InitiateSubscription):
    """A client asks once more for a checkout of a subscription that it was granted."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.SAVE_ATTEMPT, Road.RETRIEVE_SETUP)

    async def arrange(self) -> None:
        """Begin the checkout."""
        await self.checked_out()


class InitiateInsteadOfSubscription(InitiateSubscription):
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

    async def arrange(self) -> None:
        """Begin the old checkout, and change the cart."""
        self.retired = await self.checked_out()
        self.cart, self.key = self.once.superseding(self.retired.attempt_id), str(uuid.uuid4())

    async def recover(self) -> None:
        """Ask again with the same key, and pay."""
        self.checkout = await self.checked_out()
        await self.paid_in_vain_by_a_stale_tab()
        await self.paid(self.checkout)


class Webhook(Situation):
    """Stripe reports a payment."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.RECORD_PURCHASE, Road.DELETE_ATTEMPT)

    async def arrange(self) -> None:
        """Begin the checkout."""
        self.checkout = await self.checked_out()

    async def act(self) -> int | None:
        """Pay."""
        await self.paid(self.checkout)
        return await self.first_try(self.checkout)


class WebhookWithoutAttempt(Webhook):
    """Stripe reports a payment whose attempt was lost."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.GET_PURCHASE, Road.QUARANTINE_PAYMENT)
    set_aside_as = "attempt_missing"

    async def arrange(self) -> None:
        """Lose the attempt."""
        await super().arrange()
        await self.system.attempts.lose_content(self.checkout.attempt_id)


class WebhookOfAnotherSum(Webhook):
    """Stripe reports a payment of one cent too much."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.QUARANTINE_PAYMENT, Road.DELETE_ATTEMPT)
    set_aside_as = "amount_mismatch"
    content_set_aside = True

    async def arrange(self) -> None:
        """Change the intent's amount at Stripe."""
        await super().arrange()
        amount = self.checkout.amount + 1
        await self.system.stripe.v1.payment_intents.update_async(self.checkout.intent_id, {"amount": amount})


class BrowserReturn(Situation):
    """The buyer comes back from paying before Stripe reports it."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.RETRIEVE_INTENT, Road.RECORD_PURCHASE, Road.DELETE_ATTEMPT)
    event_id: str

    async def arrange(self) -> None:
        """Pay the checkout."""
        self.checkout = await self.checked_out()
        self.event_id = await self.paid_and_not_reported(self.checkout)

    async def act(self) -> int | None:
        """Come back."""
        return await _status_of(self.shop.come_back(self.checkout))

    async def recover(self) -> None:
        """Let Stripe report the payment."""
        await self.knobs.release_deliveries(self.event_id)


class BrowserReturnWithoutAttempt(BrowserReturn):
    """The buyer comes back from paying, and the attempt was lost."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        Road.RETRIEVE_INTENT,
        Road.GET_PURCHASE,
        Road.QUARANTINE_PAYMENT,
    )
    set_aside_as = "attempt_missing"

    async def arrange(self) -> None:
        """Pay the checkout, and lose the attempt."""
        await super().arrange()
        await self.system.attempts.lose_content(self.checkout.attempt_id)


class WebhookAfterBrowserReturn(BrowserReturn):
    """Stripe reports a payment whose buyer has completed the checkout."""

    calls: ClassVar[Calls] = (Road.GET_ATTEMPT, Road.GET_PURCHASE)

    async def arrange(self) -> None:
        """Pay the checkout and come back."""
        await super().arrange()
        (await self.shop.come_back(self.checkout)).ok()

    async def act(self) -> int | None:
        """Let Stripe report the payment."""
        await self.knobs.release_deliveries(self.event_id)
        return await self.first_try(self.checkout)


class RefundReported(Situation):
    """Stripe reports a refund."""

    calls: ClassVar[Calls] = (AdjustmentRoad.GET_REFUND, AdjustmentRoad.RETRIEVE_REFUND, AdjustmentRoad.APPLY_REFUND)
    taken_back: ClassVar[tuple[int | None, int | None]] = (100, None)
    reported = "refund.created"
    unreported = "charge.refunded"

    async def arrange(self) -> None:
        """Pay the checkout and come back; let Stripe keep the news of what is taken back."""
        self.checkout = await self.checked_out()
        await self.paid(self.checkout)
        (await self.shop.come_back(self.checkout)).ok()
        await self.knobs.idle()
        await self.knobs.deliver(types=[self.unreported], drop=True, count=1)
        await self.knobs.deliver(types=[self.reported], hold=True, count=1)
        subject = await self.take_back()
        (self.delivery,) = await self.knobs.deliveries(object_id=subject, event_type=self.reported)

    async def take_back(self) -> str:
        """Refund a part; return the id of what Stripe reports."""
        refund = await self.system.stripe.v1.refunds.create_async(
            {"payment_intent": self.checkout.intent_id, "amount": 100}
        )
        return refund.id

    async def act(self) -> int | None:
        """Let Stripe report it."""
        event_id = str(self.delivery["event_id"])
        await self.knobs.release_deliveries(event_id)

        async def over() -> bool:
            return bool(await self.knobs.delivery_attempts(event_id=event_id))

        await until(over, "a try of the webhook")
        status = (await self.knobs.delivery_attempts(event_id=event_id))[0]["status"]
        return None if status is None else int(status)


class ChargeRefundReported(RefundReported):
    """Stripe reports that a charge was refunded, but not by which refund."""

    calls: ClassVar[Calls] = (
        AdjustmentRoad.LIST_REFUNDS,
        AdjustmentRoad.GET_REFUND,
        AdjustmentRoad.RETRIEVE_REFUND,
        AdjustmentRoad.APPLY_REFUND,
    )
    reported = "charge.refunded"
    unreported = "refund.created"

    async def take_back(self) -> str:
        """Refund a part; return the id of the charge."""
        await super().take_back()
        intent = await self.system.stripe.v1.payment_intents.retrieve_async(self.checkout.intent_id)
        return str(intent.latest_charge)


class DisputeReported(RefundReported):
    """Stripe reports a dispute."""

    calls: ClassVar[Calls] = (AdjustmentRoad.GET_DISPUTE, AdjustmentRoad.RETRIEVE_DISPUTE, AdjustmentRoad.APPLY_DISPUTE)
    taken_back = (None, 100)
    reported = "charge.dispute.created"
    unreported = "charge.dispute.funds_withdrawn"

    async def take_back(self) -> str:
        """Dispute a part; return the dispute's id."""
        return await self.knobs.dispute(self.checkout.intent_id, amount=100)


SITUATIONS: Final[tuple[type[Situation], ...]] = (
    Initiate,
    InitiateAgain,
    InitiateTwice,
    InitiateInsteadOfAnother,
    InitiateInsteadOfOnePaid,
    InitiateOverruled,
    InitiateOfOnePaid,
    InitiateOfOneCompleted,
    InitiateSubscription,
    InitiateSubscriptionAgain,
    InitiateInsteadOfSubscription,
    Webhook,
    WebhookWithoutAttempt,
    WebhookOfAnotherSum,
    BrowserReturn,
    BrowserReturnWithoutAttempt,
    WebhookAfterBrowserReturn,
    RefundReported,
    ChargeRefundReported,
    DisputeReported,
)


async def _status_of(asking: Awaitable[Reply]) -> int | None:
    """Return what a request was answered; None if its connection broke."""
    try:
        return (await asking).status
    except aiohttp.ClientError:
        return None
