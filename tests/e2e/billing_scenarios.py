"""Scenarios of a subscription's activation, changes and end."""

import uuid
from typing import Any, ClassVar, Final

from .harness.interceptor import Ending, Moment
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.products import recorded_state, stripe_state, subscriptions_at_stripe
from .harness.shop import Cart, Line, Reply, Shop
from .scenario import Calls, Environment, Scenario


class Activate(Scenario):
    """Stripe reports that the payment method was set up."""

    calls: ClassVar[Calls] = (
        Call.GET_ATTEMPT,
        Call.RECORD_PURCHASE,
        Call.BEGIN_ACTIVATION,
        Call.CREATE_SUBSCRIPTION,
        Call.ACTIVATE_SUBSCRIPTION,
    )
    failed_at: ClassVar[tuple[int, ...]] = (2, 3, 4)
    """Indexes of the calls that are killed and failed: where the state differs from that of all other scenarios."""
    plans: ClassVar[tuple[str, ...]] = ("coffee",)
    subscription_status: ClassVar[str] = "active"
    """The subscriptions' final status."""
    at_stripe: ClassVar[int] = 1
    """The final number of Stripe subscriptions for each row."""

    def __init__(self, environment: Environment, number: int = 1) -> None:
        super().__init__(environment, number)
        self.cart = Cart([Line(self.system.backend.catalogue.prices[plan]) for plan in self.plans])

    async def arrange(self) -> None:
        """Pay the checkout."""
        await self.begin()
        await self.pay()
        self.customer = str((await self.intent())["customer"])

    async def act(self, door: Shop) -> Reply:
        """Report the success of the intent."""
        kind = "setup_intent" if self.checkout.sets_up else "payment_intent"
        return await self.deliver(door, f"{kind}.succeeded", await self.intent())

    async def row(self) -> dict[str, Any]:
        """Return the first of the subscriptions."""
        return (await self.system.orders_db.subscriptions_of(self.checkout.attempt_id))[0]

    async def assert_billed_once(self) -> None:
        """Assert one purchase, and one Stripe subscription that agrees with its row for each billing interval."""
        (payment,) = await self.system.orders_db.payments_of(self.checkout.attempt_id)
        orders = await self.system.orders_db.orders_of(self.checkout.attempt_id)
        rows = await self.system.orders_db.subscriptions_of(self.checkout.attempt_id)
        created = await subscriptions_at_stripe(self.system, self.customer)
        intervals = [plan for plan in self.plans if plan != "mug"]

        assert (payment["outcome"], payment["intent_id"]) == ("purchase", self.checkout.intent_id)
        assert not await self.system.attempt_store.has_content(self.checkout.attempt_id)
        assert len(orders) == int("mug" in self.plans)
        assert [row["status"] for row in rows] == [self.subscription_status] * len(intervals)
        assert len(created) == self.at_stripe * len(intervals)
        assert {row["id"]: recorded_state(row) for row in rows if self.at_stripe} == {
            each["metadata"]["subscriptionId"]: stripe_state(each) for each in created
        }


class ActivateTwo(Activate):
    """Stripe reports the payment of a mixed cart with two billing intervals."""

    calls: ClassVar[Calls] = (*Activate.calls[:2], *(call for call in Activate.calls[2:] for _ in range(2)))
    failed_at = (1, 5, 7)
    plans = ("mug", "coffee", "almanac")


class ActivateOnReturn(Activate):
    """The browser returns before Stripe reports anything."""

    calls: ClassVar[Calls] = (
        Call.GET_ATTEMPT,
        Call.RETRIEVE_SETUP,
        Call.RECORD_PURCHASE,
        Call.DELETE_ATTEMPT,
        *Activate.calls[2:],
    )
    failed_at = (5,)

    async def act(self, door: Shop) -> Reply:
        """Complete the checkout."""
        return await self.complete(door)

    async def recover(self) -> None:
        """Let Stripe report it."""
        (await Activate.act(self, self.shop)).ok()


class ActivatePending(Activate):
    """Stripe reports a checkout that was completed while Stripe created no subscriptions; the attempt is gone."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.QUARANTINE_PAYMENT, *Activate.calls[2:])
    failed_at: ClassVar[tuple[int, ...]] = (3,)

    async def arrange(self) -> None:
        """Complete the checkout with a pending subscription."""
        await super().arrange()
        fault = await self.fail_creation("error_unsaved", count=None)
        (await self.complete(self.shop)).ok()
        await self.control_api.remove_fault(fault)

    async def fail_creation(self, kind: str, *, count: int | None) -> str:
        """Let Stripe fail to create this customer's subscriptions; return the fault's id."""
        params = {"customer": self.customer}
        return await self.control_api.add_fault(
            kind=kind, method="POST", path="/v1/subscriptions", params=params, count=count
        )


class AdoptAfterFailure(ActivatePending):
    """Stripe creates the subscription and answers that it failed."""

    calls: ClassVar[Calls] = (
        *Activate.calls[:4],
        Call.CREATE_SUBSCRIPTION,
        Call.LIST_SUBSCRIPTIONS,
        Call.RETRIEVE_SUBSCRIPTION,
        Call.ACTIVATE_SUBSCRIPTION,
    )
    failed_at: ClassVar[tuple[int, ...]] = (5, 6, 7)
    failure: ClassVar[str] = "error_after"

    async def arrange(self) -> None:
        """Let Stripe fail once."""
        await Activate.arrange(self)
        await self.fail_creation(self.failure, count=1)


class ActivateWithAnotherKey(AdoptAfterFailure):
    """Stripe creates nothing, and stores the failure under the idempotency key."""

    calls: ClassVar[Calls] = (*AdoptAfterFailure.calls[:6], *Activate.calls[2:])
    failed_at = (6, 7)
    failure = "error_before"


class FailActivation(Activate):
    """Stripe reports a payment method that was detached from its customer."""

    calls: ClassVar[Calls] = (*Activate.calls[:4], Call.FAIL_ACTIVATION)
    failed_at: ClassVar[tuple[int, ...]] = (4,)
    subscription_status = "activation_failed"
    at_stripe = 0

    async def arrange(self) -> None:
        """Detach the payment method."""
        await super().arrange()
        await self.stripe.payment_methods.detach_async(str((await self.intent())["payment_method"]))


class ActivateRetried(FailActivation):
    """Stripe reports a payment again whose activation failed, after a person let it begin again with another card."""

    calls: ClassVar[Calls] = (
        Call.GET_ATTEMPT,
        Call.QUARANTINE_PAYMENT,
        Call.BEGIN_ACTIVATION,
        Call.LIST_SUBSCRIPTIONS,
        Call.CREATE_SUBSCRIPTION,
        Call.ACTIVATE_SUBSCRIPTION,
    )
    failed_at = (2, 3, 4, 5)
    subscription_status = "active"
    at_stripe = 1

    async def arrange(self) -> None:
        """Let the activation fail, save another card, and begin again once no request can be under way."""
        await super().arrange()
        (await self.act(self.shop)).ok()
        await self.system.attempt_store.until_deletions_end()
        intent = await self.stripe.setup_intents.create_async({"customer": self.customer})
        saved = (await self.shop.confirm(str(intent.client_secret))).ok()
        row = await self.row()
        await self.system.rpc.retry_activation(row["id"], saved["payment_method"])
        await self.system.orders_db.rows(
            "UPDATE subscriptions SET activation_failed_at = activation_failed_at - interval '10 minutes'"
            " WHERE id = $1 RETURNING id",
            uuid.UUID(row["id"]),
        )


class Update(Activate):
    """Stripe reports that a subscription changed."""

    calls: ClassVar[Calls] = (Call.GET_SUBSCRIPTION, Call.RETRIEVE_SUBSCRIPTION, Call.APPLY_STATE)
    failed_at = (1, 2)

    async def arrange(self) -> None:
        """Complete the checkout, and change the subscription at Stripe."""
        await super().arrange()
        (await self.complete(self.shop)).ok()
        stripe_id = (await self.row())["stripe_subscription_id"]
        changed = await self.stripe.subscriptions.update_async(stripe_id, {"cancel_at_period_end": True})
        self.subject = changed.to_dict()

    async def act(self, door: Shop) -> Reply:
        """Report the change."""
        return await self.deliver(door, "customer.subscription.updated", self.subject)


class CancelAtPeriodEnd(Activate):
    """A user cancels a subscription at the end of its period."""

    calls: ClassVar[Calls] = (Call.GET_SUBSCRIPTION, Call.CHANGE_SUBSCRIPTION, Call.APPLY_STATE)
    failed_at: ClassVar[tuple[int, ...]] = (1, 2)
    mode: ClassVar[str] = "at_period_end"

    def __init__(self, environment: Environment, number: int = 1) -> None:
        super().__init__(environment, number)
        self.user_id = f"user-{uuid.uuid4()}"

    async def arrange(self) -> None:
        """Complete the checkout."""
        await super().arrange()
        (await self.complete(self.shop)).ok()

    async def act(self, door: Shop) -> Reply:
        """Cancel the subscription."""
        path = f"/api/subscriptions/{(await self.row())['id']}/cancel"
        return await self.request(door, "POST", path, json={"mode": self.mode})


class ReadIncomplete(CancelAtPeriodEnd):
    """A user reads a subscription whose first charge was declined."""

    calls: ClassVar[Calls] = (Call.GET_SUBSCRIPTION, Call.RETRIEVE_SUBSCRIPTION, Call.RETRIEVE_INTENT)
    failed_at: ClassVar[tuple[int, ...]] = ()
    subscription_status = "incomplete"

    async def pay(self) -> None:
        """Save a card that declines every charge."""
        (await self.shop.pay(self.checkout, payment_method="pm_card_chargeCustomerFail")).ok()

    async def act(self, door: Shop) -> Reply:
        """Read the subscription."""
        return await self.request(door, "GET", f"/api/subscriptions/{(await self.row())['id']}")


class CancelIncomplete(ReadIncomplete):
    """A user ends at its period's end a subscription whose first charge was declined: it ends now."""

    calls: ClassVar[Calls] = (
        Call.GET_SUBSCRIPTION,
        Call.RETRIEVE_SUBSCRIPTION,
        Call.RETRIEVE_SUBSCRIPTION,
        Call.RETRIEVE_INTENT,
        Call.END_SUBSCRIPTION,
        Call.RETRIEVE_INTENT,
        Call.APPLY_STATE,
    )
    failed_at = (4, 5, 6)
    subscription_status = "incomplete_expired"

    async def act(self, door: Shop) -> Reply:
        """Cancel the subscription."""
        return await CancelAtPeriodEnd.act(self, door)


class OpenPortal(CancelAtPeriodEnd):
    """A user opens Stripe's customer portal."""

    calls: ClassVar[Calls] = (Call.GET_SUBSCRIPTION, Call.OPEN_PORTAL)
    failed_at = (1,)

    async def arrange(self) -> None:
        """Complete the checkout, and set the portal up."""
        await super().arrange()
        await self.control_api.save_portal_settings()

    async def act(self, door: Shop) -> Reply:
        """Open the portal."""
        return await self.request(door, "POST", f"/api/subscriptions/{(await self.row())['id']}/portal", json={})


class CancelNow(CancelAtPeriodEnd):
    """A user cancels a subscription at once."""

    calls: ClassVar[Calls] = (
        Call.GET_SUBSCRIPTION,
        Call.RETRIEVE_SUBSCRIPTION,
        Call.LIST_INVOICES,
        Call.END_SUBSCRIPTION,
        Call.APPLY_STATE,
    )
    failed_at = (2, 3, 4)
    mode = "now"
    subscription_status = "canceled"


class CancelPending(CancelAtPeriodEnd):
    """A user cancels a subscription that was not begun at Stripe yet."""

    calls: ClassVar[Calls] = (Call.GET_SUBSCRIPTION, Call.CANCEL_PENDING)
    failed_at = (1,)
    subscription_status = "canceled"
    at_stripe = 0

    async def arrange(self) -> None:
        """Complete the checkout while orders begins no activation."""
        call, orders = Call.BEGIN_ACTIVATION, self.system.proxies.orders.interceptor
        fault = orders.add_fault(call, Moment.BEFORE_EFFECT, Ending.BREAKS)
        await super().arrange()
        fault.lift()


BILLING: Final[tuple[type[Activate], ...]] = (
    Activate,
    ActivateTwo,
    ActivateOnReturn,
    ActivatePending,
    AdoptAfterFailure,
    ActivateWithAnotherKey,
    FailActivation,
    ActivateRetried,
    Update,
    CancelAtPeriodEnd,
    CancelNow,
    CancelPending,
    ReadIncomplete,
    CancelIncomplete,
    OpenPortal,
)
BILLING_CALLS: Final = [(kind, index) for kind in BILLING for index in kind.failed_at]
"""The calls that are killed and failed, by scenario and index."""
