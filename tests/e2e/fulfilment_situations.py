"""Every way through fulfilment, as Stripe or a returning buyer sets it off, and the outgoing calls that it takes."""

from typing import ClassVar, Final

from .situations import Calls, Road, Situation, status_of


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
        return await status_of(self.shop.come_back(self.checkout))

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


FULFILLED: Final[tuple[type[Situation], ...]] = (
    Webhook,
    WebhookWithoutAttempt,
    WebhookOfAnotherSum,
    BrowserReturn,
    BrowserReturnWithoutAttempt,
    WebhookAfterBrowserReturn,
)
