"""stack.json: addresses and keys of a running stack, for tools and tests."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.layout import write_private


@dataclass(frozen=True, slots=True)
class StackFile:
    """Content of stack.json. The file has mode 0600, since it contains secrets."""

    shop: str | None
    """http URL of the shop, if it is built."""
    gateway: str
    """http URL of the first gateway."""
    gateways: list[str]
    """http URLs of all gateways."""
    stripe_api: str
    """http URL of the simulator or of Stripe."""
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
        """Write the file atomically."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "StackFile":
        """Read the file. Raises FileNotFoundError if no stack runs."""
        return cls(**json.loads(path.read_text()))
