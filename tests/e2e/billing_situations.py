"""Every way through a subscription's activation, life and end, and the outgoing calls that it takes."""

import copy
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from .harness.plans import made_at_stripe, recorded, shown
from .harness.shop import Cart, Line
from .harness.system import System
from .situations import ORDERS, Calls, Road, Situation, Stage, status_of

CHARGES: Final = ("customer.subscription.*", "invoice.*")
SET_UP: Final = "setup_intent.succeeded"
PAID: Final = "payment_intent.succeeded"
_CREATE: Final = "/v1/subscriptions"


class BillingRoad(StrEnum):
    """Every kind of call that activation, life and end of a subscription make."""

    BEGIN_ACTIVATION = f"{ORDERS}/BeginActivation"
    ACTIVATE_SUBSCRIPTION = f"{ORDERS}/ActivateSubscription"
    FAIL_ACTIVATION = f"{ORDERS}/FailActivation"
    GET_SUBSCRIPTION = f"{ORDERS}/GetSubscription"
    APPLY_STATE = f"{ORDERS}/ApplySubscriptionState"
    CREATE_SUBSCRIPTION = "POST /v1/subscriptions"
    LIST_SUBSCRIPTIONS = "GET /v1/subscriptions"
    RETRIEVE_SUBSCRIPTION = "GET /v1/subscriptions/{id}"
    CHANGE_SUBSCRIPTION = "POST /v1/subscriptions/{id}"
    END_SUBSCRIPTION = "DELETE /v1/subscriptions/{id}"


class Billed(Situation):
    """Something happens to what will be charged again and again, which Stripe reports only where that is the point."""

    killed_at: ClassVar[tuple[int, ...]]
    """Places among its calls at which things stand as in no other situation: there the gateway is killed."""
    plans: ClassVar[tuple[str, ...]] = ("coffee",)
    ends_as: ClassVar[str] = "active"
    """The subscriptions' status in the end."""
    at_stripe: ClassVar[int] = 1
    """Stripe subscriptions for each of them in the end."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.cart = Cart([Line(self.system.backend.catalogue.prices[plan]) for plan in self.plans])

    @property
    def succeeded(self) -> str:
        """The type of the event that reports the intent's success."""
        return SET_UP if self.checkout.sets_up else PAID

    async def arrange(self) -> None:
        """Begin the checkout, and let Stripe keep all other news."""
        await self.knobs.deliver(types=list(CHARGES), drop=True, count=None)
        self.checkout = await self.checked_out()

    async def hold_news(self) -> None:
        """Let Stripe keep the news of the success for now."""
        await self.knobs.deliver(types=[self.succeeded], object_id=self.checkout.intent_id, hold=True)

    async def release_news(self) -> None:
        """Let Stripe report the success."""
        for each in await self.knobs.deliveries(object_id=self.checkout.intent_id, event_type=self.succeeded):
            await self.knobs.release_deliveries(str(each["event_id"]))

    async def act(self) -> int | None:
        """Pay, or set up what will pay; Stripe reports it."""
        await self.paid(self.checkout)
        return await self.first_answer(object_id=self.checkout.intent_id, event_type=self.succeeded)

    async def row(self) -> dict[str, Any]:
        """Return the first of its subscriptions as it is recorded."""
        return (await self.system.books.subscriptions_of(self.checkout.attempt_id))[0]

    async def customer(self) -> str:
        """Return whom Stripe charges."""
        stripe, intent_id = self.system.stripe.v1, self.checkout.intent_id
        if self.checkout.sets_up:
            return str((await stripe.setup_intents.retrieve_async(intent_id)).customer)
        return str((await stripe.payment_intents.retrieve_async(intent_id)).customer)


class Activated(Billed):
    """Stripe reports that what will pay was set up."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.RECORD_PURCHASE,
        Road.DELETE_ATTEMPT,
        BillingRoad.BEGIN_ACTIVATION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
    )
    killed_at = (3, 4, 5)


class TwoActivated(Billed):
    """Stripe reports the payment of a mixed cart with two billing intervals."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.RECORD_PURCHASE,
        Road.DELETE_ATTEMPT,
        BillingRoad.BEGIN_ACTIVATION,
        BillingRoad.BEGIN_ACTIVATION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
    )
    killed_at = (1, 6, 8)
    plans = ("mug", "coffee", "almanac")


class ActivatedByBrowser(Billed):
    """The buyer comes back before Stripe reports anything."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.RETRIEVE_SETUP,
        Road.RECORD_PURCHASE,
        Road.DELETE_ATTEMPT,
        BillingRoad.BEGIN_ACTIVATION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
    )
    killed_at = (5,)

    async def arrange(self) -> None:
        """Set up what will pay."""
        await super().arrange()
        await self.hold_news()
        await self.paid(self.checkout)

    async def act(self) -> int | None:
        """Come back."""
        return await status_of(self.shop.come_back(self.checkout))

    async def recover(self) -> None:
        """Let Stripe report it."""
        await self.release_news()


class PendingFound(ActivatedByBrowser):
    """Stripe reports what the buyer came back from while Stripe made no subscriptions; the attempt is gone."""

    calls: ClassVar[Calls] = (
        Road.GET_ATTEMPT,
        Road.GET_PURCHASE,
        BillingRoad.BEGIN_ACTIVATION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
    )
    killed_at = (3,)

    async def arrange(self) -> None:
        """Come back, and be told of a pending subscription."""
        await super().arrange()
        fault = await self.knobs.fault(kind="error_unsaved", method="POST", path=_CREATE, count=None)
        (await self.shop.come_back(self.checkout)).ok()
        await self.knobs.remove_fault(fault)

    async def act(self) -> int | None:
        """Let Stripe report it."""
        await self.release_news()
        return await self.first_answer(object_id=self.checkout.intent_id, event_type=self.succeeded)


class FoundAfterAFailure(Billed):
    """Stripe makes the subscription and answers that it failed."""

    calls: ClassVar[Calls] = (
        *Activated.calls[:4],
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.LIST_SUBSCRIPTIONS,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
    )
    killed_at = (6, 7)
    failure: ClassVar[str] = "error_after"

    async def arrange(self) -> None:
        """Let Stripe fail once for this customer."""
        await super().arrange()
        customer = {"customer": await self.customer()}
        await self.knobs.fault(kind=self.failure, method="POST", path=_CREATE, params=customer)


class MadeWithAnotherKey(FoundAfterAFailure):
    """Stripe makes nothing, and stores under the key that it failed."""

    calls: ClassVar[Calls] = (
        *FoundAfterAFailure.calls[:7],
        BillingRoad.BEGIN_ACTIVATION,
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.ACTIVATE_SUBSCRIPTION,
    )
    killed_at = (7, 8)
    failure = "error_before"


class Refused(ActivatedByBrowser):
    """Stripe reports what was set up, and that payment method is the customer's no more."""

    calls: ClassVar[Calls] = (
        *Activated.calls[:4],
        BillingRoad.CREATE_SUBSCRIPTION,
        BillingRoad.FAIL_ACTIVATION,
    )
    killed_at = (5,)
    ends_as = "activation_failed"
    at_stripe = 0

    async def arrange(self) -> None:
        """Take the payment method from the customer."""
        await super().arrange()
        set_up = await self.system.stripe.v1.setup_intents.retrieve_async(self.checkout.intent_id)
        await self.system.stripe.v1.payment_methods.detach_async(str(set_up.payment_method))

    async def act(self) -> int | None:
        """Let Stripe report it."""
        await self.release_news()
        return await self.first_answer(object_id=self.checkout.intent_id, event_type=self.succeeded)

    async def recover(self) -> None:
        """Do nothing: Stripe reports it again."""


class Followed(Billed):
    """Stripe reports that a subscription changed."""

    calls: ClassVar[Calls] = (
        BillingRoad.GET_SUBSCRIPTION,
        BillingRoad.RETRIEVE_SUBSCRIPTION,
        BillingRoad.APPLY_STATE,
    )
    killed_at = (1, 2)
    reported: ClassVar[str] = "customer.subscription.updated"

    async def arrange(self) -> None:
        """Buy, and change the subscription at Stripe; nobody is told."""
        await super().arrange()
        await self.hold_news()
        await self.paid(self.checkout)
        await self.bought()
        await self.release_news()
        await self.first_answer(object_id=self.checkout.intent_id, event_type=self.succeeded)

    async def bought(self) -> None:
        """Come back, and change the subscription at Stripe."""
        (await self.shop.come_back(self.checkout)).ok()
        stripe_id = (await self.row())["stripe_subscription_id"]
        await self.system.stripe.v1.subscriptions.update_async(stripe_id, {"cancel_at_period_end": True})

    async def act(self) -> int | None:
        """Report it."""
        customer = await self.customer()
        listed = await self.system.stripe.v1.events.list_async({"type": self.reported, "limit": 10})
        (event,) = [each for each in listed.data if each.to_dict()["data"]["object"]["customer"] == customer][:1]
        await self.knobs.redeliver(event.id)
        return await self.first_answer(event_id=event.id)


class CancelledByOwner(Billed):
    """A user ends a subscription with its period."""

    calls: ClassVar[Calls] = (
        BillingRoad.GET_SUBSCRIPTION,
        BillingRoad.CHANGE_SUBSCRIPTION,
        BillingRoad.APPLY_STATE,
    )
    killed_at = (1, 2)
    mode: ClassVar[str] = "at_period_end"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.shop = copy.copy(stage.shop)
        self.shop.user_id = f"user-{uuid.uuid4()}"

    async def arrange(self) -> None:
        """Buy."""
        await super().arrange()
        await self.paid(self.checkout)
        (await self.shop.come_back(self.checkout)).ok()
        await self.first_answer(object_id=self.checkout.intent_id, event_type=self.succeeded)

    async def act(self) -> int | None:
        """End it."""
        return await status_of(self.shop.cancel_subscription((await self.row())["id"], self.mode))

    async def recover(self) -> None:
        """Ask again."""
        (await self.shop.cancel_subscription((await self.row())["id"], self.mode)).ok()


class EndedByOwner(CancelledByOwner):
    """A user ends a subscription at once."""

    calls: ClassVar[Calls] = (
        BillingRoad.GET_SUBSCRIPTION,
        BillingRoad.END_SUBSCRIPTION,
        BillingRoad.APPLY_STATE,
    )
    mode = "now"
    ends_as = "canceled"


BILLED: Final[tuple[type[Billed], ...]] = (
    Activated,
    TwoActivated,
    ActivatedByBrowser,
    PendingFound,
    FoundAfterAFailure,
    MadeWithAnotherKey,
    Refused,
    Followed,
    CancelledByOwner,
    EndedByOwner,
)


@dataclass(frozen=True)
class Place:
    """One call of a situation."""

    kind: type[Billed]
    index: int

    @property
    def road(self) -> str:
        """The call's kind."""
        return self.kind.calls[self.index]

    @property
    def at_stripe(self) -> bool:
        """Whether it goes to Stripe, and not to a service."""
        return not self.road.startswith("/")

    @property
    def earlier(self) -> int:
        """How many calls of its kind the situation makes before it."""
        return self.kind.calls[: self.index].count(self.kind.calls[self.index])

    @property
    def name(self) -> str:
        """Situation, place and kind of call."""
        return f"{self.kind.__name__}-{self.index + 1}-{self.kind.calls[self.index].name}"


PLACES: Final = [Place(kind, index) for kind in BILLED for index in kind.killed_at]


async def assert_billed_once(system: System, situation: Billed) -> None:
    """Assert one purchase, and one Stripe subscription and one row for each billing interval, which agree."""
    (payment,) = await system.books.payments_of(situation.checkout.attempt_id)
    rows = await system.books.subscriptions_of(situation.checkout.attempt_id)
    made = {one["metadata"]["subscriptionId"]: one for one in await made_at_stripe(system, await situation.customer())}
    intervals = [plan for plan in situation.plans if plan != "mug"]

    assert (payment["outcome"], payment["intent_id"]) == ("purchase", situation.checkout.intent_id)
    assert len(await system.books.orders_of(situation.checkout.attempt_id)) == int("mug" in situation.plans)
    assert [row["status"] for row in rows] == [situation.ends_as] * len(intervals)
    assert len(await made_at_stripe(system, await situation.customer())) == situation.at_stripe * len(intervals)
    assert {row["id"]: recorded(row) for row in rows if situation.at_stripe} == {
        subscription_id: shown(one) for subscription_id, one in made.items()
    }
