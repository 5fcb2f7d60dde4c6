"""The shop in one tab, used as a person uses it: by what the page shows."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from playwright.async_api import Locator, Page, Route, expect

from .private_details import PrivateDetails
from .recorder import ONLY_KEY, Recorder

GOOD_CARD: Final = "4242424242424242"
DECLINED: Final = "4000000000000002"
NO_FUNDS: Final = "4000000000009995"
CHALLENGED: Final = "4000000000003220"
DECLINED_LATER: Final = "4000000000000341"
"""Can be saved, and declines every charge."""

MUG: Final = "Stoneware mug"
NOTEBOOK: Final = "Pocket notebook"
COFFEE: Final = "Coffee, every month"
ALMANAC: Final = "Nautical almanac, every year"
GAZETTE: Final = "Harbour gazette, every week"


@dataclass(frozen=True)
class Storefront:
    """One tab."""

    page: Page
    recorder: Recorder
    details: PrivateDetails
    url: str

    async def open(self, path: str = "/") -> Self:
        """Go to an address of the shop."""
        await self.page.goto(f"{self.url}{path}")
        return self

    async def another_tab(self, path: str = "/") -> "Storefront":
        """Open another tab of the same browser."""
        return await Storefront(await self.page.context.new_page(), self.recorder, self.details, self.url).open(path)

    # Catalogue and cart

    def product(self, name: str) -> Locator:
        """Return a product's card."""
        return self.page.get_by_role("listitem").filter(has=self.page.get_by_role("heading", name=name))

    async def add_to_cart(self, *names: str) -> Self:
        """Put products into the cart, one of each."""
        for name in names:
            await self.product(name).get_by_role("button", name=re.compile(rf"^Add.*: {name}$")).click()
        return self

    async def buy_now(self, name: str) -> Self:
        """Buy a single product."""
        await self.product(name).get_by_role("button", name=f"Buy now: {name}").click()
        await expect(self.page).to_have_url(f"{self.url}/checkout")
        return self

    async def go_to_checkout(self, *names: str) -> Self:
        """Open the shop, fill the cart, and go to the checkout."""
        await (await self.open()).add_to_cart(*names)
        await self.page.get_by_role("button", name=re.compile(r"^Cart, \d+ item")).click()
        await self.page.get_by_role("dialog").get_by_role("button", name=re.compile("^Checkout")).click()
        await expect(self.page).to_have_url(f"{self.url}/checkout")
        return self

    async def sign_in(self) -> Self:
        """Sign in as the demo's customer."""
        await self.page.get_by_role("button", name="Sign in as demo customer").click()
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()
        return self

    # Checkout

    async def hold(self, path: str) -> Callable[[], None]:
        """Hold the requests to a path of the shop; return what lets them go."""
        released = asyncio.Event()

        async def wait(route: Route) -> None:
            await released.wait()
            await route.continue_()

        await self.page.route(f"{self.url}{path}", wait)
        return released.set

    async def fill_details(self) -> Self:
        """Fill in contact and, where something is sent, the address; shipping stays as it is offered."""
        contact = {
            "E-mail": self.details.email.value,
            "Full name": self.details.name.value,
            "Phone": self.details.phone.value,
        }
        for label, value in contact.items():
            await self.field(label).fill(value)
        if not await self.field("Street").is_visible():
            return self
        await self.page.get_by_label("Country").select_option(self.details.country)
        address = {
            "Street": self.details.line1.value,
            "Town or city": self.details.city.value,
            "Postcode": self.details.postal_code.value,
            "State": self.details.state,
        }
        for label, value in address.items():
            await self.field(label).fill(value)
        return self

    def field(self, label: str) -> Locator:
        """Return a text field of the details form."""
        return self.page.get_by_label(re.compile(rf"^{label}\b"))

    async def continue_to_payment(self) -> Self:
        """Begin the checkout, and wait for the payment form."""
        await self.press_continue()
        await expect(self.card_number).to_be_visible()
        return self

    async def press_continue(self) -> Self:
        """Press the button that begins the checkout."""
        await self.continue_button.click()
        return self

    async def begin(self, *names: str) -> Self:
        """Go from an empty cart to the payment form."""
        return await (await (await self.go_to_checkout(*names)).fill_details()).continue_to_payment()

    @property
    def continue_button(self) -> Locator:
        """The button that begins the checkout."""
        return self.page.get_by_role("button", name="Continue to payment")

    @property
    def card_number(self) -> Locator:
        """The card's field in the Payment Element."""
        return self.page.get_by_label("Card number")

    @property
    def pay_button(self) -> Locator:
        """The shop's button below the Payment Element."""
        return self.page.get_by_role("button", name=re.compile(r"^(Pay|Start|Checking)\b(?! with)"))

    async def choose_method(self, name: str) -> Self:
        """Choose a payment method other than a card."""
        await self.page.get_by_role("radio", name=name).check(force=True)
        return self

    async def pay_with(self, card: str = GOOD_CARD) -> Self:
        """Fill in a card and pay."""
        await self.card_number.fill(card)
        await self.pay_button.click()
        return self

    async def pass_challenge(self) -> None:
        """Answer the bank's question of 3-D Secure."""
        await self.page.get_by_role("button", name="Complete authentication").click()

    async def fail_challenge(self) -> None:
        """Refuse the bank's question of 3-D Secure."""
        await self.page.get_by_role("button", name="Fail authentication").click()

    async def close_challenge(self) -> None:
        """Close the dialog of 3-D Secure without an answer."""
        await expect(self.page.get_by_role("button", name="Complete authentication")).to_be_visible()
        await self.page.keyboard.press("Escape")

    # What the page shows

    async def sees(self, *texts: str, seconds: float = 15.0) -> Self:
        """Wait until each text is shown; a text is a regular expression, in any letter case."""
        for text in texts:
            shown = self.page.get_by_text(re.compile(text, re.IGNORECASE)).filter(visible=True)
            await expect(shown.first).to_be_visible(timeout=seconds * 1000)
        return self

    async def is_told(self, *texts: str, seconds: float = 15.0) -> Self:
        """Wait until one message to the buyer, announced to screen readers, says all of this."""
        message = self.page.locator("[role=alert], [role=status]").filter(visible=True)
        for text in texts:
            message = message.filter(has_text=re.compile(text, re.IGNORECASE))
        await expect(message.first).to_be_visible(timeout=seconds * 1000)
        return self

    async def is_at_confirmation(self) -> Self:
        """Wait for the page that shows what became of the purchase."""
        await expect(self.page).to_have_url(re.compile(rf"^{self.url}/order-confirmation\b"))
        return self

    async def sees_completed(self, *, seconds: float = 15.0) -> Self:
        """Wait for the confirmation of a completed purchase."""
        await self.is_at_confirmation()
        await self.is_told("thank you", "complete", seconds=seconds)
        return self

    async def cart(self) -> list[dict[str, int | str]]:
        """Return the lines of the cart."""
        stored = await self.page.evaluate("() => localStorage.getItem('cart')")
        return list(json.loads(stored or "[]"))

    async def stored_id(self) -> str | None:
        """Return the id that sessionStorage holds."""
        found: str | None = await self.page.evaluate("(key) => sessionStorage.getItem(key)", ONLY_KEY)
        return found
