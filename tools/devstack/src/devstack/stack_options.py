"""Options of a stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Addresses that the gateways call. Each may be a proxy's."""

    stripe_api: str
    """http URL."""
    checkout_session: str
    """gRPC target: host:port, or `ipv4:///host:port,host:port` for several processes."""
    orders: str
    """gRPC target, likewise."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Options with their defaults."""

    gateways: int = 1
    reconcilers: int = 0
    replicas: int = 1
    """Processes of checkout-session and of orders, over which the gateways balance their calls."""
    gateway_port: int | None = None
    """The first gateway's port. None takes a free one."""
    webhook_for_each_gateway: bool = False
    """Register a webhook endpoint for every gateway, not only for the first."""
    balancer: str | None = None
    """http URL of a balancer in front of the gateways, which Stripe sends events to in their place."""
    durable: bool = True
    """Let PostgreSQL wait for the disk."""
    seed: int | None = None
    """The simulator's seed. None takes a random one: data of earlier runs contains the ids of earlier seeds."""
    rate_limits: bool = True
    """Apply the rate limits of the gateways and of the simulator. Tests turn them off, since they make many purchases
    from one address, faster than a sandbox of Stripe allows."""
    tls: bool = False
    """Require mutual TLS from all services and stores."""
    shop: Path | None = None
    """Folder of a built shop. The gateways serve it, and sign its demo customers in."""
    simulator_arguments: Sequence[str] = ()
    """Additional command-line arguments of the simulator."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Environment variables without the service's prefix, by process name."""
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Other environment variables, by process name."""
