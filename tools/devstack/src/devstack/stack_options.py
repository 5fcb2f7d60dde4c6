"""How a stack differs from the usual one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Upstreams:
    """Where the gateways find what they call; the address of a proxy may stand in for each."""

    stripe_api: str
    """http URL."""
    checkout_session: str
    """gRPC address, host:port."""
    orders: str
    """gRPC address, host:port."""


@dataclass(frozen=True)
class StackOptions:
    """What can be chosen."""

    gateways: int = 1
    gateway_port: int | None = None
    """The first gateway's port; unset takes a free one."""
    webhook_for_each_gateway: bool = False
    """Whether Stripe delivers each event to every gateway, not just to the first."""
    durable: bool = True
    """Whether PostgreSQL waits for the disk."""
    seed: int | None = None
    """The simulator's. Unset takes another one each time: the data of earlier runs knows the ids of earlier seeds."""
    rate_limits: bool = True
    """Whether the gateways hold clients to their usual rates; a test buys more from one address than a buyer would."""
    tls: bool = False
    """Whether the services and the stores speak mutual TLS and nothing else."""
    simulator_arguments: Sequence[str] = ()
    """Further words for the simulator's command line."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By process name, environment variables without the service's prefix."""
