"""Contact and address of a buyer, unique so that they are found wherever they go."""

from dataclasses import dataclass, field

from tests.e2e.harness.canaries import Canary, canary, numeric_canary


@dataclass(frozen=True)
class PrivateDetails:
    """The values that the buyer types into the details form."""

    email: Canary = field(default_factory=lambda: canary("email", "{}@example.com"))
    name: Canary = field(default_factory=lambda: canary("name", "Ada {}"))
    phone: Canary = field(default_factory=lambda: numeric_canary("phone", "+1{}"))
    line1: Canary = field(default_factory=lambda: canary("line1", "1 {} Street"))
    city: Canary = field(default_factory=lambda: canary("city"))
    postal_code: Canary = field(default_factory=lambda: numeric_canary("postal code", "{}"))
    country: str = "US"
    state: str = "OR"

    @property
    def canaries(self) -> tuple[Canary, ...]:
        """All values that only initiate-checkout may carry."""
        return (self.email, self.name, self.phone, self.line1, self.city, self.postal_code)
