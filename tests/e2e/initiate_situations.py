"""Every way through initiate, as a buyer sets it off, and the outgoing calls that it takes."""

import asyncio
import uuid
from typing import ClassVar, Final

from .harness.checkpoint import Trap
from .harness.shop import Cart, Checkout, Line, Reply
from .situations import CONFLICT, Calls, Road, Situation, Stage, status_of


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
    answer = CONFLICT
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
    answer = CONFLICT

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
    answer = CONFLICT
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
        return await status_of(self._begin(self.cart, self.key))

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


INITIATED: Final[tuple[type[Situation], ...]] = (
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
)
