"""The address of the servers: three forms, and nothing that only looks like one of them."""

import pytest

from checkout_session.redis_backend.url import AddressInvalid, RedisAddress, Topology, parse_address


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://u:p@h", "unix:///run/redis.sock"])
def test_the_address_of_a_single_server_is_left_to_the_client(url: str) -> None:
    """redis-py reads it."""
    address = parse_address(url)

    assert (address.topology, address.url, address.hosts) == (Topology.SINGLE, url, ())
    assert address.tls == url.startswith("rediss")


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    """Credentials are written as in any URL, a port that is missing is Redis's own."""
    address = parse_address("rediss+cluster://user:p%40ss@one,two:7000,[::1]:7001")

    assert address == RedisAddress(
        Topology.CLUSTER,
        "rediss+cluster://user:p%40ss@one,two:7000,[::1]:7001",
        tls=True,
        hosts=(("one", 6379), ("two", 7000), ("::1", 7001)),
        username="user",
        password="p@ss",
    )


def test_a_sentinel_address_names_the_master() -> None:
    """Credentials before the hosts are the servers', those in the query the Sentinels'."""
    url = "redis+sentinel://:secret@s1,s2:26380/shop/3?sentinel_username=u&sentinel_password=w"

    address = parse_address(url)

    assert address == RedisAddress(
        Topology.SENTINEL,
        url,
        tls=False,
        hosts=(("s1", 26379), ("s2", 26380)),
        username=None,
        password="secret",
        service="shop",
        db=3,
        sentinel_username="u",
        sentinel_password="w",
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis+http://h",
        "unix+cluster:///run/redis.sock",
        "redis+cluster://",
        "redis+cluster://h:0",
        "redis+cluster://h:65536",
        "redis+cluster://h:port",
        "redis+cluster://one,,two",
        "redis+cluster://h/1",
        "redis+cluster://h?timeout=1",
        "redis+sentinel://s",
        "redis+sentinel://s/shop/x",
        "redis+sentinel://s/shop?sentinel_pasword=w",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    """A slip in an address must not lead to another server, nor to one without a password."""
    with pytest.raises(AddressInvalid):
        parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://u:hidden@h:x",
        "redis+sentinel://u:hidden@s",
        "redis://u:hidden/1@h:6379",
        "rediss://u:hidden?1@h:6379",
        "redis://u:hidden#1@h:6379",
        "redis://u:1/hidden@h:6379",
    ],
)
def test_a_refusal_does_not_quote_the_address(url: str) -> None:
    """P7: it may hold a password, and the message is printed."""
    with pytest.raises(AddressInvalid) as refused:
        parse_address(url)

    assert "hidden" not in str(refused.value)


def test_secrets_are_not_in_its_repr() -> None:
    """P7: whatever prints it prints no password."""
    address = parse_address("redis+sentinel://u:hidden@s/shop?sentinel_password=hidden")

    assert "hidden" not in repr(address)
