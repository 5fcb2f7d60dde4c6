"""Scenarios before the payment: a checkout is begun, repeated, replaced, or looked at."""

import asyncio
from typing import ClassVar

from .harness.interceptor import Breakpoint
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import Cart, Line, Reply, Shop
from .scenario import CONFLICT, Calls, ExpectedState, Scenario


class Begin(Scenario):
    """A buyer begins a checkout."""

    calls: ClassVar[Calls] = (Call.CREATE_INTENT, Call.SAVE_ATTEMPT)
    leaves = ExpectedState(payable=1, released=1, attempts=1)

    async def act(self, door: Shop) -> Reply:
        """Initiate the checkout."""
        return await self.initiate(door, self.cart, self.key)

    async def recover(self) -> None:
        """Repeat the request with the same key, and pay."""
        await super().recover()
        await self.pay_and_return()

    async def recover_refused(self) -> None:
        """Repeat the request, which must be refused."""
        status = (await self.act(self.shop)).status
        if status != CONFLICT:
            raise AssertionError(f"a checkout that cannot be paid was answered {status}")


class BeginAgain(Begin):
    """A client repeats the request for a checkout that it was granted."""

    calls: ClassVar[Calls] = (Call.CREATE_INTENT, Call.RETRIEVE_INTENT, Call.GET_ATTEMPT, Call.SAVE_ATTEMPT)

    async def arrange(self) -> None:
        """Begin the checkout."""
        await self.begin()


class BeginLost(BeginAgain):
    """A client repeats the request for a checkout that it was granted, and the attempt was lost."""

    calls: ClassVar[Calls] = (
        Call.CREATE_INTENT,
        Call.RETRIEVE_INTENT,
        Call.GET_ATTEMPT,
        Call.GET_PURCHASE,
        Call.SAVE_ATTEMPT,
    )

    async def arrange(self) -> None:
        """Lose the attempt."""
        await super().arrange()
        await self.system.attempt_store.lose(self.checkout.attempt_id)


class BeginTwice(Begin):
    """A client repeats a request that has created the intent and not stored the attempt yet."""

    calls: ClassVar[Calls] = BeginLost.calls
    held: Breakpoint
    first: "asyncio.Task[int | None]"

    async def arrange(self) -> None:
        """Hold the first request at SaveAttempt."""
        self.held = self.system.proxies.break_before(Call.SAVE_ATTEMPT)
        self.first = asyncio.create_task(super().status_of_act())
        await self.held.hit()

    async def recover(self) -> None:
        """Drop the first request, repeat it, and pay."""
        self.held.drop()
        await self.first
        await super().recover()


class BeginOvertaken(BeginTwice):
    """A request stores its attempt after its repeat was granted that checkout and superseded it."""

    # Its SaveAttempt is in flight when the scenario begins.
    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.CANCEL_INTENT, Call.RETRIEVE_INTENT)
    status = CONFLICT

    async def arrange(self) -> None:
        """Grant the checkout to the repeat, and supersede it."""
        await super().arrange()
        self.retired = await self.begin()
        await self.begin_with_other_key(self.system.cart(tote=1).superseding(self.retired.attempt_id))

    async def status_of_act(self) -> int | None:
        """Release the first request."""
        self.held.release()
        return await self.first

    async def recover(self) -> None:
        """Repeat the first request in vain, and pay the new checkout."""
        await self.recover_refused()
        await self.pay_and_return()


class BeginPaid(Begin):
    """A client repeats the request for a checkout that is paid, and the payment is not reported yet."""

    calls: ClassVar[Calls] = (*BeginAgain.calls, Call.RECORD_PURCHASE, Call.DELETE_ATTEMPT)
    status = CONFLICT
    leaves = ExpectedState(orders=1)

    async def arrange(self) -> None:
        """Pay the checkout."""
        await self.begin()
        await self.pay()

    async def recover(self) -> None:
        """Repeat the request in vain; Stripe reports the payment."""
        await self.recover_refused()
        await self.report_payment()


class BeginCompleted(BeginPaid):
    """A client repeats the request for a checkout that became an order."""

    calls: ClassVar[Calls] = (Call.CREATE_INTENT, Call.RETRIEVE_INTENT, Call.GET_ATTEMPT, Call.GET_PURCHASE)

    async def arrange(self) -> None:
        """Complete the checkout."""
        await super().arrange()
        (await self.complete(self.shop)).ok()


class BeginWithNewPrice(Begin):
    """A buyer wants a price that was created just now."""

    calls: ClassVar[Calls] = (Call.RETRIEVE_PRICE, *Begin.calls)

    async def arrange(self) -> None:
        """Create the price."""
        price = await self.stripe.prices.create_async(
            {"product_data": {"name": "Something new"}, "currency": "usd", "unit_amount": self.amount}
        )
        self.cart = Cart([Line(price.id)])

    def stripe_id(self, _call: Call) -> str:
        """Return the price."""
        return self.cart.lines[0].price_id


class Replace(Begin):
    """The buyer changed the cart: the new checkout supersedes the old one."""

    calls: ClassVar[Calls] = (
        Call.GET_ATTEMPT,
        Call.CREATE_INTENT,
        Call.SAVE_ATTEMPT,
        Call.GET_ATTEMPT,
        Call.RETRIEVE_INTENT,
        Call.CLOSE_ATTEMPT,
        Call.CANCEL_INTENT,
        Call.DELETE_ATTEMPT,
    )

    async def arrange(self) -> None:
        """Begin the old checkout, and change the cart."""
        self.retired = await self.begin_with_other_key(self.cart)
        self.cart = self.system.cart(tote=1).superseding(self.retired.attempt_id)

    def stripe_id(self, _call: Call) -> str:
        """Return the old intent."""
        return self.retired.intent_id if self.retired else ""


class ReplacePaid(Begin):
    """The buyer changed the cart after paying in another tab, and the payment is not reported yet."""

    calls: ClassVar[Calls] = (
        Call.GET_ATTEMPT,
        Call.CREATE_INTENT,
        Call.SAVE_ATTEMPT,
        Call.GET_ATTEMPT,
        Call.RETRIEVE_INTENT,
        Call.RECORD_PURCHASE,
        Call.DELETE_ATTEMPT,
        # The new checkout is given up.
        Call.CLOSE_ATTEMPT,
        Call.CANCEL_INTENT,
        Call.DELETE_ATTEMPT,
    )
    status = CONFLICT
    leaves = ExpectedState(orders=1)

    async def arrange(self) -> None:
        """Pay the old checkout, and change the cart."""
        paid = await self.begin_with_other_key(self.system.cart(tote=1))
        self.cart = self.cart.superseding(paid.attempt_id)
        await self.pay()

    async def recover(self) -> None:
        """Repeat the request in vain; Stripe reports the payment of the old checkout."""
        await self.recover_refused()
        await self.report_payment()


class ReadOpen(BeginAgain):
    """A page reads the status of an open checkout."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.RETRIEVE_INTENT)

    async def act(self, door: Shop) -> Reply:
        """Read the status."""
        return await self.read_status(door)
