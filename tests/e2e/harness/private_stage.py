"""A system with somebody watching, a buyer of whom every word is a canary, and what they do together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import stripe

from .canaries import Canary, secret
from .knobs import Knobs
from .private_buyer import PrivateBuyer, of_checkout
from .shop import Checkout, Reply
from .system import System
from .wares import Offer
from .watch import Place, Watch, WatchedShop

INITIATE = "/api/stripe/initiate-checkout"
WEBHOOK = "/api/stripe/webhook"


@dataclass(frozen=True)
class Stage:
    """A system at its most talkative, a buyer, and who watches."""

    system: System
    watch: Watch
    knobs: Knobs
    offer: Offer
    may_be_in: Mapping[str, set[Place]]
    """Where each private thing may be, by its name."""
    buyer: PrivateBuyer = field(default_factory=PrivateBuyer)
    met: list[Canary] = field(default_factory=list)
    """What was given out on the way."""

    def shop(self, *, signed_in: bool = True) -> WatchedShop:
        """Open a shop for the buyer, or for a guest."""
        addresses = self.system.backend.addresses
        shop = WatchedShop(
            gateway=addresses.gateways[0],
            stripe_api=addresses.stripe_api,
            publishable_key=addresses.stripe_publishable_key,
            jwt_secret=addresses.jwt_secret,
            user_id=self.buyer.user_id.value if signed_in else None,
        )
        shop.watch = self.watch
        return shop

    def body(self, **changes: Any) -> dict[str, Any]:
        """Return what the frontend sends, changed."""
        return self.buyer.cart(self.system, [self.offer.price_id]).as_body() | changes

    async def initiate(self, shop: WatchedShop, **changes: Any) -> Reply:
        """Ask for a checkout with the buyer's key."""
        key = {"Idempotency-Key": self.buyer.idempotency_key.value}
        return await shop.request("POST", INITIATE, json=self.body(**changes), headers=key)

    async def checkout(self, shop: WatchedShop) -> Checkout:
        """Ask for a checkout that must be granted."""
        body = (await self.initiate(shop)).ok()
        granted = Checkout(body["checkoutAttemptId"], body["clientSecret"], body["intentAmount"], body["currency"])
        self.met.extend(of_checkout(granted))
        return granted

    async def buy(self, shop: WatchedShop) -> Checkout:
        """Buy, and wait for the order."""
        checkout = await self.checkout(shop)
        (await shop.pay(checkout)).ok()
        await self.knobs.idle()  # its webhook was answered 200, so it is recorded
        return checkout

    async def deliver(self, shop: WatchedShop, event: str, *, key: str | None = None) -> Reply:
        """Send a webhook that Stripe, or whoever has the key, signed."""
        known = self.system.backend.addresses.webhook_secret
        header = stripe.WebhookSignature.generate_signature_header(event, key or known)
        headers = {"Content-Type": "application/json", "Stripe-Signature": header}
        return await shop.request("POST", WEBHOOK, data=event.encode(), headers=headers)

    async def assert_nothing_leaked(self) -> None:
        """Demand that none of the buyer's canaries is anywhere it may not be."""
        await self.knobs.clear_faults()
        await self.knobs.idle()
        assert await self.watch.leaks([*self.buyer.canaries, *self.met, *secrets_of(self.system)], self.may_be_in) == {}


def secrets_of(system: System) -> list[Canary]:
    """Return every secret of the installation."""
    addresses, of = system.backend.addresses, system.backend.settings_of
    return [
        secret("Stripe's secret key", addresses.stripe_secret_key),
        secret("webhook secret", addresses.webhook_secret),
        secret("JWT secret", addresses.jwt_secret),
        secret("attempt id secret", of("gateway")["ATTEMPT_ID_SECRET"]),
        secret("Redis password", urlsplit(addresses.redis).password or "?"),
        secret("PostgreSQL password", urlsplit(addresses.postgres).password or "?"),
        secret("attempt encryption keys", of("checkout-session")["ENCRYPTION_KEYS"].partition(":")[2]),
        secret("quarantine encryption keys", of("orders")["ENCRYPTION_KEYS"].partition(":")[2]),
    ]
