"""The address of the servers that keep the attempts, in one of its three forms (ADR 10)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_DATA_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_HIGHEST_PORT: Final = 65535

Host = tuple[str, int]


class AddressInvalid(ValueError):
    """A URL is none of the forms that are understood. The message does not quote it: it may hold a password."""


class Topology(StrEnum):
    """How the master of a key is found."""

    SINGLE = "single"
    """It is what the address leads to."""
    CLUSTER = "cluster"
    """Any node tells."""
    SENTINEL = "sentinel"
    """A Sentinel tells."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where the servers are, and how to be let in."""

    topology: Topology
    url: str = field(repr=False)
    """As it was written; all that is needed for a single server."""
    tls: bool = False
    hosts: tuple[Host, ...] = ()
    """Nodes of the cluster, or Sentinels; empty for a single server."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str = ""
    """The name by which the Sentinels know the master."""
    db: int = 0
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def parse_address(url: str) -> RedisAddress:
    """Read redis://, rediss:// or unix://, and redis+cluster://, redis+sentinel:// with rediss for TLS.

    Raises AddressInvalid.
    """
    parts = urlsplit(url)
    if not _is_whole(parts):
        raise AddressInvalid("in a password / ? # @ are written %2F %3F %23 %40")
    scheme, _, form = parts.scheme.partition("+")
    if (scheme, form) in {("redis", ""), ("rediss", ""), ("unix", "")}:
        return RedisAddress(Topology.SINGLE, url, tls=scheme == "rediss")
    if scheme not in {"redis", "rediss"} or form not in {"cluster", "sentinel"}:
        raise AddressInvalid(
            "must begin with redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, redis+sentinel:// "
            "or rediss+sentinel://"
        )
    return (_cluster if form == "cluster" else _sentinel)(url, parts, tls=scheme == "rediss")


def _is_whole(parts: SplitResult) -> bool:
    """Whether no password was cut in two: what stands before the cut would be taken for a port, and quoted (P7)."""
    ports = [
        host.rpartition("]")[2].rpartition(":")[2] for host in parts.netloc.rpartition("@")[2].split(",") if ":" in host
    ]
    return (
        all(not port or port.isdecimal() for port in ports)
        and not parts.fragment
        and "@" not in parts.path + parts.query
    )


def _cluster(url: str, parts: SplitResult, *, tls: bool) -> RedisAddress:
    if parts.path not in {"", "/", "/0"} or parts.query:
        raise AddressInvalid("redis+cluster:// takes hosts and nothing after them: a cluster has one database")
    username, password, hosts = _authority(parts.netloc, _DATA_PORT)
    return RedisAddress(Topology.CLUSTER, url, tls, hosts, username, password)


def _sentinel(url: str, parts: SplitResult, *, tls: bool) -> RedisAddress:
    username, password, hosts = _authority(parts.netloc, _SENTINEL_PORT)
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not (db or "0").isdecimal():
        raise AddressInvalid("redis+sentinel:// needs the master's name after the hosts: host:port/NAME or /NAME/DB")
    options = parse_qs(parts.query, keep_blank_values=True)
    if set(options) - {"sentinel_username", "sentinel_password"}:
        raise AddressInvalid("redis+sentinel:// takes the options sentinel_username and sentinel_password alone")
    return RedisAddress(
        Topology.SENTINEL,
        url,
        tls,
        hosts,
        username,
        password,
        service=unquote(service),
        db=int(db or 0),
        sentinel_username=options.get("sentinel_username", [None])[0],
        sentinel_password=options.get("sentinel_password", [None])[0],
    )


def _authority(netloc: str, port: int) -> tuple[str | None, str | None, tuple[Host, ...]]:
    """Read [[user]:password@]host[:port][,host[:port]…]."""
    credentials, _, listed = netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    hosts = tuple(_host(host, port) for host in listed.split(","))
    return unquote(username) or None, unquote(password) or None, hosts


def _host(text: str, port: int) -> Host:
    name, colon, digits = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        name, digits = text, str(port)
    name = name.removeprefix("[").removesuffix("]")
    if not name or not digits.isdecimal() or not 0 < int(digits) <= _HIGHEST_PORT:
        raise AddressInvalid("each host is host or host:port, separated by commas")
    return name, int(digits)
