"""URL of the servers, in one of three forms (ADR 10)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote

from servicekit.urls import split_url

_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MAX_PORT: Final = 65535

Host = tuple[str, int]


class InvalidUrl(ValueError):
    """The URL has none of the known forms. The message does not quote it: it may contain a password."""


class Topology(StrEnum):
    """Way to find the primary of a key."""

    STANDALONE = "standalone"
    """The server at the address."""
    CLUSTER = "cluster"
    """Any node names it."""
    SENTINEL = "sentinel"
    """A Sentinel names it."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Hosts and credentials of the servers."""

    topology: Topology
    tls: bool = False
    hosts: tuple[Host, ...] = ()
    """Nodes of the cluster, or Sentinels; empty for a standalone server, whose URL redis-py parses."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str = ""
    """The Sentinels' name of the primary."""
    db: int = 0
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def parse_url(url: str) -> RedisAddress:
    """Parse redis://, rediss:// or unix://, and redis+cluster://, redis+sentinel:// with rediss for TLS.

    Raises InvalidUrl.
    """
    parts = split_url(url)
    if not _is_whole(parts):
        raise InvalidUrl("in a password / ? # @ are written %2F %3F %23 %40")
    scheme, _, form = parts.scheme.partition("+")
    if (scheme, form) in {("redis", ""), ("rediss", ""), ("unix", "")}:
        return RedisAddress(Topology.STANDALONE, tls=scheme == "rediss")
    if scheme not in {"redis", "rediss"} or form not in {"cluster", "sentinel"}:
        raise InvalidUrl(
            "must begin with redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, redis+sentinel:// "
            "or rediss+sentinel://"
        )
    return (_parse_cluster if form == "cluster" else _parse_sentinel)(parts, tls=scheme == "rediss")


def _is_whole(parts: SplitResult) -> bool:
    """Return False if a password was cut in two: its first part would be taken for a port, and quoted (P7)."""
    ports = [
        host.rpartition("]")[2].rpartition(":")[2] for host in parts.netloc.rpartition("@")[2].split(",") if ":" in host
    ]
    return (
        all(not port or port.isdecimal() for port in ports)
        and not parts.fragment
        and "@" not in parts.path + parts.query
    )


def _parse_cluster(parts: SplitResult, *, tls: bool) -> RedisAddress:
    if parts.path not in {"", "/", "/0"} or parts.query:
        raise InvalidUrl("redis+cluster:// takes hosts and nothing after them: a cluster has one database")
    username, password, hosts = _parse_authority(parts.netloc, _REDIS_PORT)
    return RedisAddress(Topology.CLUSTER, tls, hosts, username, password)


def _parse_sentinel(parts: SplitResult, *, tls: bool) -> RedisAddress:
    username, password, hosts = _parse_authority(parts.netloc, _SENTINEL_PORT)
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not (db or "0").isdecimal():
        raise InvalidUrl("redis+sentinel:// needs the primary's name after the hosts: host:port/NAME or /NAME/DB")
    options = parse_qs(parts.query, keep_blank_values=True)
    if set(options) - {"sentinel_username", "sentinel_password"}:
        raise InvalidUrl("redis+sentinel:// takes the options sentinel_username and sentinel_password alone")
    return RedisAddress(
        Topology.SENTINEL,
        tls,
        hosts,
        username,
        password,
        service=unquote(service),
        db=int(db or 0),
        sentinel_username=options.get("sentinel_username", [None])[0],
        sentinel_password=options.get("sentinel_password", [None])[0],
    )


def _parse_authority(netloc: str, port: int) -> tuple[str | None, str | None, tuple[Host, ...]]:
    """Parse [[user]:password@]host[:port][,host[:port]…]."""
    credentials, _, hosts = netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    parsed = tuple(_parse_host(host, port) for host in hosts.split(","))
    return unquote(username) or None, unquote(password) or None, parsed


def _parse_host(text: str, port: int) -> Host:
    name, colon, digits = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        name, digits = text, str(port)
    name = name.removeprefix("[").removesuffix("]")
    if not name or not digits.isdecimal() or not 0 < int(digits) <= _MAX_PORT:
        raise InvalidUrl("each host is host or host:port, separated by commas")
    return name, int(digits)
