"""A buyer of whom every word is a canary."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from .canaries import Canary, canary, digits, secret
from .shop import Cart, Checkout, Line
from .system import System


@dataclass(frozen=True)
class PrivateBuyer:
    """What a buyer types and is, one canary each. A country has two letters, too few to be told from others."""

    user_id: Canary = field(default_factory=lambda: canary("user id", "user-{}"))
    name: Canary = field(default_factory=lambda: canary("name", "Zoë {} d'Ülgür"))
    email: Canary = field(default_factory=lambda: canary("e-mail", "{}@shop.example"))
    phone: Canary = field(default_factory=lambda: digits("phone", "+49 {}"))
    line1: Canary = field(default_factory=lambda: canary("address line 1", 'Straße "{}" & Söhne 1'))
    line2: Canary = field(default_factory=lambda: canary("address line 2", "c/o {}%20+"))
    city: Canary = field(default_factory=lambda: canary("city", "São {}"))
    state: Canary = field(default_factory=lambda: canary("state", "{} (2)"))
    postal_code: Canary = field(default_factory=lambda: canary("postal code", "{} 1"))
    idempotency_key: Canary = field(default_factory=lambda: secret("idempotency key", str(uuid.uuid4())))

    @property
    def typed(self) -> list[Canary]:
        """What the buyer typed: it belongs into the order, and nowhere else."""
        address = [self.line1, self.line2, self.city, self.state, self.postal_code]
        return [self.name, self.email, self.phone, *address]

    @property
    def canaries(self) -> list[Canary]:
        """All that is known of the buyer before a checkout."""
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
        """Fill a cart that is sent to the buyer."""
        return Cart(
            [Line(price_id) for price_id in price_ids],
            contact=self.contact,
            address=self.address,
            shipping_option_id=system.backend.catalogue.shipping_rates["standard"],
        )


def of_checkout(checkout: Checkout) -> list[Canary]:
    """Return what only the buyer's browser may know of a checkout."""
    return [
        secret("attempt id", checkout.attempt_id),
        secret("client secret", checkout.client_secret.partition("_secret_")[2]),
    ]
