"""stack.json: where everything listens, for tools and tests. It exists while the stack is healthy."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.layout import write_private


@dataclass(frozen=True)
class StackFile:
    """The content of stack.json. It holds secrets, so only its owner can read the file."""

    gateway: str
    """http URL of the first gateway."""
    gateways: list[str]
    """http URLs of all of them."""
    stripe_api: str
    """http URL of the simulator, or of Stripe itself."""
    stripe_secret_key: str
    stripe_publishable_key: str
    webhook_secret: str
    """Signing secret of the webhook endpoint."""
    jwt_secret: str
    """HS256 secret of the shop's user tokens."""
    postgres: str
    """URL of the orders database, password included."""
    redis: str
    """URL, password included."""
    checkout_session: str
    """gRPC address, host:port."""
    orders: str
    """gRPC address, host:port."""
    pids: dict[str, int]
    """Process id by process name."""

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "StackFile":
        """Read it back. Raises FileNotFoundError when no stack is up."""
        return cls(**json.loads(path.read_text()))
