"""From the address of the servers to the masters that keep the attempts."""

from dataclasses import dataclass
from typing import Final

from checkout_session.domain.durability import Durability
from checkout_session.redis_backend.cluster import ClusterMasters
from checkout_session.redis_backend.connection import connect, connect_by_sentinel, connect_cluster
from checkout_session.redis_backend.primaries import Masters, OneMaster, WatchedMaster
from checkout_session.redis_backend.url import Topology, parse_address
from checkout_session.redis_backend.write_confirmation import Confirmations
from servicekit.certificates import Certificates

_SHARE_OF_PATIENCE: Final = 0.9
"""A verb's repeats must end before the verb is given up, so that their reason is heard."""
_WAIT_MARGIN_SECONDS: Final = 0.25
"""A server looks ten times a second whether a wait is over; its answer must come before the connection is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked of the servers at once, and how long they are waited for."""

    max_connections: int = 64
    """To one server, or to each master of a cluster."""
    redis_timeout_seconds: float = 1.0
    """For one answer on one connection."""
    store_timeout_seconds: float = 2.0
    """For a whole verb, repeats included."""

    @property
    def disk_timeout_seconds(self) -> float:
        """For the disks."""
        return max(self.redis_timeout_seconds / 2, self.redis_timeout_seconds - _WAIT_MARGIN_SECONDS)


def open_masters(url: str, durability: Durability, limits: Limits, certificates: Certificates | None = None) -> Masters:
    """Return the masters at an address; the caller closes them. They are connected to when they are first used.

    With contexts an address that asks for TLS is connected to with these, else with redis-py's own.
    Raises AddressInvalid.
    """
    address = parse_address(url)
    confirmations = Confirmations(
        durability,
        within_seconds=limits.disk_timeout_seconds,
        connections=limits.max_connections,
    )
    if address.topology is Topology.CLUSTER:
        return ClusterMasters(
            connect_cluster(
                address,
                max_connections=limits.max_connections,
                timeout_seconds=limits.redis_timeout_seconds,
                certificates=certificates,
            ),
            confirmations,
            max_connections=limits.max_connections,
            patience_seconds=_SHARE_OF_PATIENCE * limits.store_timeout_seconds,
        )
    if address.topology is Topology.SENTINEL:
        redis, sentinel = connect_by_sentinel(
            address,
            max_connections=limits.max_connections,
            timeout_seconds=limits.redis_timeout_seconds,
            certificates=certificates,
        )
        return WatchedMaster(redis, sentinel, confirmations)
    redis = connect(
        url,
        max_connections=limits.max_connections,
        timeout_seconds=limits.redis_timeout_seconds,
        certificates=certificates,
    )
    return OneMaster(redis, confirmations)
