"""Everything that the pages of a browser did and must not do."""

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebError

from tests.e2e.harness.canaries import Canary, found_in
from tests.e2e.harness.shop import Checkout

INITIATE: Final = "/api/stripe/initiate-checkout"
ONLY_KEY: Final = "checkoutAttemptId"
_REPORTED: Final = ("error", "warning", "assert")
_CLIENT_SECRET: Final = re.compile(r"(pi|seti)_\w+_secret_\w+")
_LEFT_BY_NAVIGATION: Final = "net::ERR_ABORTED"
_WATCH_SESSION_STORAGE: Final = """(() => {
    const setItem = Storage.prototype.setItem;
    Storage.prototype.setItem = function (key, value) {
        if (this === window.sessionStorage && key !== "checkoutAttemptId")
            console.error(`sessionStorage was given ${key}`);
        return setItem.call(this, key, value);
    };
})();"""


class Recorder:
    """Collects faults of all pages of a context. `check` raises AssertionError with them."""

    def __init__(self, context: BrowserContext, *, shop: str, stripe_api: str, private: Iterable[Canary]) -> None:
        self.requests: list[Request] = []
        """Every request, in order."""
        self._context = context
        self._shop = shop
        self._origins = (shop, stripe_api)
        self._private = tuple(private)
        self._granted: list[asyncio.Task[bytes]] = []
        self._faults: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    async def start(self) -> None:
        """Watch every page of the context from now on."""
        await self._context.add_init_script(_WATCH_SESSION_STORAGE)
        self._context.on("console", self._on_console)
        self._context.on("weberror", self._on_page_error)
        self._context.on("request", self._on_request)
        self._context.on("requestfailed", self._on_failed_request)
        self._context.on("response", self._on_response)

    def expect(self, pattern: str) -> None:
        """Accept faults whose text contains the pattern, from now on and before."""
        self._expected.append(re.compile(pattern))

    def expect_status(self, *statuses: int) -> None:
        """Accept responses of these statuses, which Chromium reports on its console."""
        for status in statuses:
            self.expect(rf"responded with a status of {status} ")

    def sent_to(self, path: str, method: str = "POST") -> list[Request]:
        """Return the requests to a path of the shop."""
        return [each for each in self.requests if each.method == method and self._path(each) == path]

    async def granted(self) -> list[Checkout]:
        """Return the checkouts that the gateway granted, in order."""
        bodies = [json.loads(body) for body in await asyncio.gather(*self._granted)]
        return [
            Checkout(body["checkoutAttemptId"], body["clientSecret"], body["intentAmount"], body["currency"])
            for body in bodies
        ]

    async def check(self) -> None:
        """Raise AssertionError unless all is as it must be."""
        for page in self._context.pages:
            await self._check_page(page)
        faults = [each for each in self._faults if not any(known.search(each) for known in self._expected)]
        assert not faults, "\n".join(["the browser did what it must not:", *faults])

    async def _check_page(self, page: Page) -> None:
        if not page.url.startswith(self._shop):
            return
        if _CLIENT_SECRET.search(page.url):
            self._faults.append(f"client secret in the address bar: {page.url}")
        stored: dict[str, str] = await page.evaluate("() => ({ ...sessionStorage })")
        self._faults += [f"sessionStorage holds {key}" for key in stored if key != ONLY_KEY]
        if ONLY_KEY in stored and not _is_uuid(stored[ONLY_KEY]):
            self._faults.append(f"sessionStorage holds no id: {stored[ONLY_KEY]}")
        self._faults += [f"cookie {cookie.get('name')}" for cookie in await self._context.cookies()]
        databases = await page.evaluate("async () => (await indexedDB.databases()).map(({ name }) => name)")
        self._faults += [f"database {name}" for name in databases]
        kept = await page.evaluate("() => JSON.stringify({ ...localStorage })")
        found = found_in(kept.encode() + page.url.encode(), self._private)
        self._faults += [f"localStorage or address bar holds {name}" for name in found]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in _REPORTED:
            self._faults.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _on_page_error(self, error: WebError) -> None:
        self._faults.append(f"page error: {error.error}")

    def _on_failed_request(self, request: Request) -> None:
        if request.failure != _LEFT_BY_NAVIGATION:
            self._faults.append(f"request failed: {request.failure} {request.method} {request.url}")

    def _on_response(self, response: Response) -> None:
        if self._path(response.request) == INITIATE and response.ok:
            self._granted.append(asyncio.create_task(response.body()))  # now: a reload discards the body

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)
        if request.url.startswith(("data:", "blob:")):
            return
        if not request.url.startswith(self._origins):
            self._faults.append(f"request to another origin: {request.method} {request.url}")
        body = request.post_data_buffer or b""
        carries_details = self._path(request) == INITIATE and request.method == "POST"
        surface = request.url.encode() + json.dumps(request.headers).encode() + (b"" if carries_details else body)
        found = found_in(surface, self._private)
        self._faults += [f"{request.method} {request.url} carries {name}" for name in found]
        is_return = request.is_navigation_request()
        if request.url.startswith(self._shop) and not is_return and _CLIENT_SECRET.search(surface.decode("latin-1")):
            self._faults.append(f"{request.method} {request.url} carries a client secret to the shop")

    def _path(self, request: Request) -> str:
        return request.url.removeprefix(self._shop).partition("?")[0] if request.url.startswith(self._shop) else ""


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
