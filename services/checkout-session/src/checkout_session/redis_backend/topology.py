"""Chooses the implementation of Primaries by the form of the URL."""

from checkout_session.domain.durability import DurabilityPolicy
from checkout_session.redis_backend.cluster import ClusterPrimaries, connect_cluster
from checkout_session.redis_backend.connection import Limits, connect
from checkout_session.redis_backend.primaries import Primaries, StandalonePrimaries
from checkout_session.redis_backend.sentinel import SentinelPrimaries, connect_sentinel
from checkout_session.redis_backend.url import Topology, parse_url
from checkout_session.redis_backend.write_confirmation import Confirmations
from servicekit.certificates import Certificates


def open_primaries(
    url: str, policy: DurabilityPolicy, limits: Limits, certificates: Certificates | None = None
) -> Primaries:
    """Return the primaries at a URL; the caller closes them. They connect when they are first used.

    With certificates a TLS URL uses mutual TLS, otherwise the system's authorities. Raises InvalidUrl.
    """
    address = parse_url(url)
    confirmations = Confirmations(
        policy, timeout_seconds=limits.disk_timeout_seconds, max_connections=limits.max_connections
    )
    match address.topology:
        case Topology.CLUSTER:
            return ClusterPrimaries(connect_cluster(address, limits, certificates), confirmations, limits)
        case Topology.SENTINEL:
            return SentinelPrimaries(*connect_sentinel(address, limits, certificates), confirmations)
        case Topology.STANDALONE:
            return StandalonePrimaries(connect(url, limits, certificates), confirmations)
