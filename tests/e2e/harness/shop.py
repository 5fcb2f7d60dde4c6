"""A shop's frontend and its buyer: everything that a browser does."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
import jwt
import stripe

GOOD_CARD = "pm_card_visa"
DECLINED_CARD = "pm_card_chargeDeclined"
_HTTP_OK = 200
_TOKEN_SECONDS = 3600

CONTACT = {"name": "Ada Example", "email": "ada@example.com", "phone": "+15550100"}
ADDRESS = {"line1": "1 Harbour Street", "city": "Portland", "state": "OR", "postalCode": "97201", "country": "US"}


@dataclass(frozen=True)
class Line:
    """One line of a cart."""

    price_id: str
    quantity: int = 1


@dataclass(frozen=True)
class Cart:
    """What a buyer wants, and what the frontend knows about the buyer."""

    lines: Sequence[Line]
    contact: Mapping[str, str] = field(default_factory=lambda: CONTACT)
    address: Mapping[str, str] | None = field(default_factory=lambda: ADDRESS)
    shipping_option_id: str | None = None
    supersedes: str | None = None

    def superseding(self, attempt_id: str) -> "Cart":
        """Return this cart as the replacement of an attempt."""
        return replace(self, supersedes=attempt_id)

    def as_body(self) -> dict[str, Any]:
        """Return the JSON that the frontend sends."""
        optional = {
            "shippingAddress": self.address and dict(self.address),
            "shippingOptionId": self.shipping_option_id,
            "supersedes": self.supersedes,
        }
        return {
            "items": [{"priceId": line.price_id, "quantity": line.quantity} for line in self.lines],
            "contact": dict(self.contact),
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True)
class Reply:
    """What an HTTP request came to."""

    status: int
    body: Any
    """Decoded JSON; None when the body is something else."""
    headers: Mapping[str, str] = field(repr=False)

    @property
    def problem(self) -> str:
        """What kind of problem the answer is; empty when it is none."""
        return str(self.body.get("type", "")).removeprefix("urn:holdfast:problem:") if self.body else ""

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names, in order."""
        return [error["field"] for error in (self.body or {}).get("errors", [])]

    def ok(self) -> Any:
        """Return the body; raise AssertionError with all of it unless the status is 200."""
        if self.status != _HTTP_OK:
            raise AssertionError(f"{self.status}: {self.body}")
        return self.body


@dataclass(frozen=True)
class Checkout:
    """An open checkout, as the frontend holds it."""

    attempt_id: str
    client_secret: str = field(repr=False)
    amount: int
    """In minor units."""
    currency: str

    @property
    def intent_id(self) -> str:
        """The intent's id, which every client secret begins with."""
        return self.client_secret.partition("_secret_")[0]

    @property
    def sets_up(self) -> bool:
        """Whether nothing is taken now: the intent is a SetupIntent."""
        return self.intent_id.startswith("seti_")


class Shop:
    """Talks to one gateway, and to Stripe with the publishable key, as one user or as a guest."""

    def __init__(
        self, *, gateway: str, stripe_api: str, publishable_key: str, jwt_secret: str, user_id: str | None = None
    ) -> None:
        self.gateway = gateway
        self.user_id = user_id
        self._stripe_api = stripe_api
        self._publishable_key = publishable_key
        self._jwt_secret = jwt_secret
        self.session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60),
            # A gateway closes what was idle for 5 s; a request that is sent in that very moment would be lost.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1.0),
            # As a browser writes it: in UTF-8, which takes a third of the bytes that escapes would.
            json_serialize=partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
        )

    async def __aenter__(self) -> Self:
        """Open the shop."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self.session.close()

    def token(self, user_id: str, **claims: object) -> str:
        """Mint a user token, as the shop's own sign-in does. Claims given here win."""
        known = {"sub": user_id, "exp": int(time.time()) + _TOKEN_SECONDS}
        return jwt.encode({**known, **claims}, self._jwt_secret, algorithm="HS256")

    async def initiate(
        self, cart: Cart, *, idempotency_key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask for a checkout."""
        keyed = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return await self.request(
            "POST", "/api/stripe/initiate-checkout", json=cart.as_body(), headers={**keyed, **(headers or {})}
        )

    async def checkout(self, cart: Cart, *, idempotency_key: str | None = None) -> Checkout:
        """Ask for a checkout that must be granted."""
        return self.opened(await self.initiate(cart, idempotency_key=idempotency_key))

    def opened(self, granted: Reply) -> Checkout:
        """Return the checkout that was granted."""
        body = granted.ok()
        return Checkout(body["checkoutAttemptId"], body["clientSecret"], body["intentAmount"], body["currency"])

    async def pay(self, checkout: Checkout, *, payment_method: str = GOOD_CARD) -> Reply:
        """Pay, or set up what will pay, in the browser: publishable key and client secret, straight to Stripe."""
        return await self.confirm(checkout.client_secret, payment_method=payment_method)

    async def confirm(self, client_secret: str, *, payment_method: str = GOOD_CARD) -> Reply:
        """Confirm the intent of a client secret, as Stripe.js would."""
        form = {
            "client_secret": client_secret,
            "payment_method": payment_method,
            "return_url": "https://shop.example/return",
        }
        headers = {"Authorization": f"Bearer {self._publishable_key}", "Stripe-Version": stripe.api_version}
        intent_id = client_secret.partition("_secret_")[0]
        kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        url = f"{self._stripe_api}/v1/{kind}/{intent_id}/confirm"
        async with self.session.post(url, data=form, headers=headers) as answer:
            return await _reply(answer)

    async def come_back(self, checkout: Checkout, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Return from Stripe and ask for the order."""
        intent = "setupIntentId" if checkout.sets_up else "paymentIntentId"
        body = {"checkoutAttemptId": checkout.attempt_id, intent: checkout.intent_id}
        return await self.request("POST", "/api/orders", json=body, headers=headers)

    async def status(self, attempt_id: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Ask where a checkout stands."""
        return await self.request("GET", f"/api/checkout/{attempt_id}", headers=headers)

    async def orders(self, **query: str) -> Reply:
        """Ask for the signed-in user's orders."""
        return await self.request("GET", "/api/orders", params=query)

    async def order(self, order_id: str) -> Reply:
        """Ask for one order."""
        return await self.request("GET", f"/api/orders/{order_id}")

    async def subscriptions(self, **query: str) -> Reply:
        """Ask for the signed-in user's subscriptions."""
        return await self.request("GET", "/api/subscriptions", params=query)

    async def subscription(self, subscription_id: str) -> Reply:
        """Ask for one subscription."""
        return await self.request("GET", f"/api/subscriptions/{subscription_id}")

    async def cancel_subscription(self, subscription_id: str, mode: str | None = None) -> Reply:
        """Cancel a subscription: `at_period_end`, `now`, or `undo`; None leaves the choice to the gateway."""
        body = {} if mode is None else {"mode": mode}
        return await self.request("POST", f"/api/subscriptions/{subscription_id}/cancel", json=body)

    async def catalogue(self) -> Reply:
        """Ask what is on sale."""
        return await self.request("GET", "/api/catalog")

    async def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any) -> Reply:
        """Send any request to the gateway, signed in if this shop has a user. Headers given here win."""
        signed_in = {} if self.user_id is None else {"Authorization": f"Bearer {self.token(self.user_id)}"}
        all_headers = {**signed_in, **(headers or {})}
        async with self.session.request(method, f"{self.gateway}{path}", headers=all_headers, **rest) as answer:
            return await _reply(answer)


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    return Reply(answer.status, body, answer.headers)
