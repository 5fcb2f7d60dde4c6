"""A buyer who clicks, reloads, goes back and opens tabs at random, and in the end wants to buy."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, Self

from playwright.async_api import BrowserContext, Error, Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from .storefront import CHALLENGED, DECLINED, GOOD_CARD, MUG, NO_FUNDS, Storefront

PAYS: Final = re.compile(r"^(Pay|Subscribe|Start|Confirm with|Approve|Complete authentication)\b(?! with)")
_CONTROLS: Final = "button:not([aria-disabled=true]):enabled, a[href^='/'], summary, label:has(input[type=radio])"
_PASSED_OVER: Final = re.compile(r"Print|Sign out|Skip to content")
_WANTED: Final = re.compile(r"Buy|Add|Continue|Checkout|Pay|Start|Approve|Complete|Back|Edit")
_CARDS: Final = (GOOD_CARD, GOOD_CARD, GOOD_CARD, DECLINED, NO_FUNDS, CHALLENGED, CHALLENGED)
_CLICK_MILLISECONDS: Final = 1500
_ROUNDS: Final = 120
"""Rounds of looking at the page and pressing what leads on, about 0.4 s each."""
_IDLE_ROUNDS: Final = 15
"""Rounds without a way forward after which the buyer goes back to the catalogue."""
_IN_DIALOGS: Final = ("Complete authentication", "Confirm with", "Keep it", "Checkout", "Close")
_ON_PAGES: Final = (
    "See the confirmation",
    "Continue to payment",
    "Back to checkout",
    "Check out again",
    "Go to your newer checkout",
    "Try again",
    "Begin again",
    "Load it again",
    f"Buy now: {MUG}",
    "See what is on sale",
    "Go to the shop",
    "Shop for something else",
    "Buy what is in the cart",
)
_COUNT_ADDED: Final = """(() => {
    if (typeof countAdded !== "function") return;
    const setItem = Storage.prototype.setItem;
    const read = (text) => new Map(JSON.parse(text ?? "[]").map(({ priceId, quantity }) => [priceId, quantity]));
    Storage.prototype.setItem = function (key, value) {
        if (this === window.localStorage && key === "cart") {
            const before = read(this.getItem(key));
            for (const [priceId, quantity] of read(value)) {
                const more = quantity - (before.get(priceId) ?? 0);
                if (more > 0) void countAdded(priceId, more);
            }
        }
        return setItem.call(this, key, value);
    };
})();"""


@dataclass
class RandomBuyer:
    """One browser with one or more tabs. The seed decides what is done where."""

    shop: Storefront
    random: Random
    did: list[str] = field(default_factory=list)
    """Actions in order, shown when a test fails."""
    put_into_cart: dict[str, int] = field(default_factory=dict)
    """Quantities by price that were ever put into the cart, in all tabs."""
    pays: int = 0
    """Clicks that may pay."""

    @classmethod
    async def enter(cls, shop: Storefront, seed: int) -> Self:
        """Open the catalogue."""
        buyer = cls(shop, Random(seed))  # noqa: S311 - repeatable
        await buyer._context.expose_function("countAdded", buyer._count_added)
        await buyer._context.add_init_script(_COUNT_ADDED)
        await shop.open()
        await shop.sees(MUG)
        return buyer

    async def wander(self, steps: int) -> None:
        """Do this many random things."""
        actions: Mapping[Callable[[Page], Awaitable[object]], int] = {
            self._click: 40,
            self._go_on: 40,
            self._fill_in: 12,
            self._reload: 7,
            self._go_back: 7,
            self._go_forward: 3,
            self._press_escape: 3,
            self._open_confirmation: 3,
            self._open_checkout: 3,
            self._open_tab: 3,
            self._duplicate_tab: 4,
            self._close_tab: 3,
        }
        for _ in range(steps):
            (action,) = self.random.choices(list(actions), list(actions.values()))
            page = self.random.choice(self._context.pages)
            # A page may navigate away from under an action, as it may from under a buyer's hand.
            with suppress(Error):
                await action(page)
            await asyncio.sleep(self.random.choice((0, 0.1, 0.2, 0.6)))

    async def finish(self, settle: Callable[[], Awaitable[None]]) -> None:
        """Buy in any tab, by what it offers: raise AssertionError where that leads nowhere.

        `settle` lets the bank decide all debits that it has.
        """
        page = self.random.choice(self._context.pages)
        await page.bring_to_front()
        self.did.append(f"finish in {self._name(page)} at {page.url}")
        idle = 0
        for _ in range(_ROUNDS):
            await settle()
            if await self._is_completed(page):
                return
            with suppress(Error):
                idle = 0 if await self._step_towards_purchase(page, GOOD_CARD) else idle + 1
            if idle > _IDLE_ROUNDS:
                with suppress(Error):
                    await self._press_first(page, "Card", "Shop")
                idle = 0
            await asyncio.sleep(0.3)
        shown = await page.locator("main").aria_snapshot()
        raise AssertionError(f"a dead end at {page.url}:\n{shown}")

    # Random actions

    async def _click(self, page: Page) -> None:
        controls = await _controls(page)
        named = [(control, name) for control, name in controls if not _PASSED_OVER.search(name)]
        if not named:
            return
        weights = [4 if _WANTED.search(name) else 1 for _, name in named]
        ((control, name),) = self.random.choices(named, weights)
        times = 2 if self.random.random() < 0.15 else 1
        await self._press(page, control, name, times=times)

    async def _fill_in(self, page: Page) -> None:
        storefront = self._storefront(page)
        if await storefront.card_number.first.is_visible():
            card = self.random.choice(_CARDS)
            self.did.append(f"{self._name(page)}: card {card}")
            await storefront.card_number.first.fill(card, timeout=_CLICK_MILLISECONDS)
        elif await page.locator("#checkout-email").is_visible():
            self.did.append(f"{self._name(page)}: details")
            await page.locator("#checkout-email").fill(self.random.choice((self.shop.details.email.value, "")))

    async def _reload(self, page: Page) -> None:
        self.did.append(f"{self._name(page)}: reload")
        await page.reload(wait_until="commit")

    async def _go_back(self, page: Page) -> None:
        self.did.append(f"{self._name(page)}: back")
        await page.evaluate("() => history.back()")

    async def _go_forward(self, page: Page) -> None:
        self.did.append(f"{self._name(page)}: forward")
        await page.evaluate("() => history.forward()")

    async def _press_escape(self, page: Page) -> None:
        self.did.append(f"{self._name(page)}: Escape")
        await page.keyboard.press("Escape")

    async def _open_confirmation(self, page: Page) -> None:
        self.did.append(f"{self._name(page)}: to the confirmation by hand")
        await page.goto(f"{self.shop.url}/order-confirmation", wait_until="commit")

    async def _open_checkout(self, page: Page) -> None:
        self.did.append(f"{self._name(page)}: to the checkout by hand")
        await page.goto(f"{self.shop.url}/checkout", wait_until="commit")

    async def _open_tab(self, _: Page) -> None:
        page = await self._context.new_page()
        self.did.append(f"{self._name(page)}: new")
        await page.goto(self.random.choice((self.shop.url, f"{self.shop.url}/checkout")), wait_until="commit")

    async def _duplicate_tab(self, page: Page) -> None:
        """Let the page open a window, which begins with a copy of the page's sessionStorage."""
        if not page.url.startswith(self.shop.url):
            return
        async with page.expect_popup(timeout=_CLICK_MILLISECONDS) as opened:
            await page.evaluate("() => { open(location.href); }")
        self.did.append(f"{self._name(await opened.value)}: duplicate of {self._name(page)}")

    async def _close_tab(self, page: Page) -> None:
        """Close a tab, perhaps while it pays. The buyer comes back in a new one if it was the last."""
        if len(self._context.pages) == 1:
            await self._open_tab(page)
        self.did.append(f"{self._name(page)}: close")
        while not page.is_closed():  # Chromium forgets it while a page loads, and a plain close would wait for ever:
            with suppress(PlaywrightTimeoutError):  # https://github.com/microsoft/playwright/issues/41900
                async with page.expect_event("close", timeout=_CLICK_MILLISECONDS):
                    await page.close(run_before_unload=True)

    # The way to a purchase

    async def _go_on(self, page: Page) -> None:
        await self._step_towards_purchase(page, self.random.choice(_CARDS))

    async def _step_towards_purchase(self, page: Page, card: str) -> bool:
        """Press what leads on. Return False if nothing does, as while the page is busy."""
        if page.url == "about:blank":  # a step back from the first page of a tab
            await page.goto(self.shop.url)
            return True
        if not page.url.startswith(self.shop.url):
            return await self._press_first(page, "Approve", "Return to the shop")
        if await page.locator("dialog[open]").count():
            return await self._press_first(page, *_IN_DIALOGS)
        if "/checkout" in page.url and await page.get_by_label("Card number").is_visible():
            return await self._pay(page, card)
        return await self._press_first(page, *_ON_PAGES)

    async def _pay(self, page: Page, card: str) -> bool:
        self.did.append(f"{self._name(page)}: card {card}")
        await page.get_by_label("Card number").fill(card, timeout=_CLICK_MILLISECONDS)
        return await self._press_first(page, "Pay $", "Start subscription")

    async def _press_first(self, page: Page, *names: str) -> bool:
        """Press the first of these that is there."""
        controls = await _controls(page)
        for wanted in names:
            for control, name in controls:
                if name.startswith(wanted):
                    if wanted == "Continue to payment":
                        await self._correct_details(page)
                    await self._press(page, control, name)
                    return True
        return False

    async def _correct_details(self, page: Page) -> None:
        email = page.locator("#checkout-email")
        if await email.input_value() == "":
            await email.fill(self.shop.details.email.value)

    async def _is_completed(self, page: Page) -> bool:
        if "/order-confirmation" not in page.url:
            return False
        thanks = page.locator("[data-state=completed]")
        with suppress(PlaywrightTimeoutError):
            await thanks.wait_for(timeout=700)
        return await thanks.is_visible()

    # Parts

    async def _press(self, page: Page, control: Locator, name: str, *, times: int = 1) -> None:
        self.did.append(f"{self._name(page)}: {name}{' twice' * (times > 1)}")
        self.pays += bool(PAYS.search(name))
        await control.click(timeout=_CLICK_MILLISECONDS, click_count=times)

    def _count_added(self, price_id: str, quantity: int) -> None:
        self.put_into_cart[price_id] = self.put_into_cart.get(price_id, 0) + quantity

    @property
    def _context(self) -> BrowserContext:
        return self.shop.page.context

    def _storefront(self, page: Page) -> Storefront:
        return Storefront(page, self.shop.recorder, self.shop.details, self.shop.url)

    def _name(self, page: Page) -> str:
        return f"tab {self._context.pages.index(page)}"


async def _controls(page: Page) -> list[tuple[Locator, str]]:
    """Return what can be clicked, with its name: only the dialog's, while one is open."""
    dialog = page.locator("dialog[open]").last
    scope = dialog if await dialog.count() else page
    found = scope.locator(_CONTROLS).filter(visible=True)
    names: list[str] = await found.evaluate_all(
        "(all) => all.map((each) => each.ariaLabel || each.textContent.trim().replace(/\\s+/g, ' '))"
    )
    return [(found.nth(place), name) for place, name in enumerate(names)]
