"""A buyer whose every value is a canary."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .canaries import Canary, canary, numeric_canary, secret
from .shop import Cart, Checkout, Line
from .system import System


@dataclass(frozen=True)
class PrivateBuyer:
    """A buyer's values, one canary each, but for the country: two letters are not unique."""

    user_id: Canary = field(default_factory=lambda: canary("user id", "user-{}"))
    name: Canary = field(default_factory=lambda: canary("name", "Zoë {} d'Ülgür"))
    email: Canary = field(default_factory=lambda: canary("e-mail", "{}@shop.example"))
    phone: Canary = field(default_factory=lambda: numeric_canary("phone", "+49 {}"))
    line1: Canary = field(default_factory=lambda: canary("address line 1", 'Straße "{}" & Söhne 1'))
    line2: Canary = field(default_factory=lambda: canary("address line 2", "c/o {}%20+"))
    city: Canary = field(default_factory=lambda: canary("city", "São {}"))
    state: Canary = field(default_factory=lambda: canary("state", "{} (2)"))
    postal_code: Canary = field(default_factory=lambda: canary("postal code", "{} 1"))
    idempotency_key: Canary = field(default_factory=lambda: secret("idempotency key", str(uuid.uuid4())))

    @property
    def typed(self) -> list[Canary]:
        """The values that the buyer types; they belong in the order alone."""
        address = [self.line1, self.line2, self.city, self.state, self.postal_code]
        return [self.name, self.email, self.phone, *address]

    @property
    def canaries(self) -> list[Canary]:
        """All values that exist before a checkout."""
        return [*self.typed, self.user_id, self.idempotency_key]

    @property
    def contact(self) -> dict[str, str]:
        """The contact as the frontend sends it."""
        return {"name": self.name.value, "email": self.email.value, "phone": self.phone.value}

    @property
    def address(self) -> dict[str, str]:
        """The address as the frontend sends it."""
        return {
            "line1": self.line1.value,
            "line2": self.line2.value,
            "city": self.city.value,
            "state": self.state.value,
            "postalCode": self.postal_code.value,
            "country": "DE",
        }

    def cart(self, system: System, price_ids: Iterable[str]) -> Cart:
        """Return a cart that is shipped to the buyer."""
        return Cart(
            [Line(price_id) for price_id in price_ids],
            contact=self.contact,
            address=self.address,
            shipping_option_id=system.backend.catalogue.shipping_rates["standard"],
        )


def secrets_of_checkout(checkout: Checkout) -> list[Canary]:
    """Return the values of a checkout that only the buyer's browser may know."""
    return [
        secret("attempt id", checkout.attempt_id),
        secret("client secret", checkout.client_secret.partition("_secret_")[2]),
    ]


def secrets_of_system(system: System) -> list[Canary]:
    """Return every secret of the installation."""
    addresses, of = system.backend.addresses, system.backend.settings_of
    return [
        secret("Stripe's secret key", addresses.stripe_secret_key),
        secret("webhook secret", addresses.webhook_secret),
        secret("JWT secret", addresses.jwt_secret),
        secret("attempt id secret", of("gateway")["ATTEMPT_ID_SECRETS"]),
        secret("Redis password", urlsplit(addresses.redis).password or "?"),
        secret("PostgreSQL password", urlsplit(addresses.postgres).password or "?"),
        secret("attempt encryption keys", of("checkout-session")["ENCRYPTION_KEYS"].partition(":")[2]),
        secret("quarantine encryption keys", of("orders")["ENCRYPTION_KEYS"].partition(":")[2]),
    ]
