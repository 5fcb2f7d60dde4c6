"""URL of the servers: three forms, and nothing that only looks like one of them."""

import pytest

from checkout_session.redis_backend.url import InvalidUrl, RedisAddress, Topology, parse_url


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://u:p@h", "unix:///run/redis.sock"])
def test_the_url_of_one_server_is_left_to_redis_py(url: str) -> None:
    """Only TLS is read from it."""
    assert parse_url(url) == RedisAddress(Topology.STANDALONE, tls=url.startswith("rediss"))


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    """Credentials are written as in any URL; the default port is 6379."""
    address = parse_url("rediss+cluster://user:p%40ss@one,two:7000,[::1]:7001")

    assert address == RedisAddress(
        Topology.CLUSTER,
        tls=True,
        hosts=(("one", 6379), ("two", 7000), ("::1", 7001)),
        username="user",
        password="p@ss",
    )


def test_a_sentinel_url_names_the_primary() -> None:
    """Credentials before the hosts are for the servers, those in the query for the Sentinels."""
    url = "redis+sentinel://:secret@s1,s2:26380/shop/3?sentinel_username=u&sentinel_password=w"

    address = parse_url(url)

    assert address == RedisAddress(
        Topology.SENTINEL,
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
    """A typing error must not lead to another server, nor to one without a password."""
    with pytest.raises(InvalidUrl):
        parse_url(url)


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
def test_p7_a_refusal_does_not_quote_the_url(url: str) -> None:
    """It may contain a password, and the message is printed."""
    with pytest.raises(InvalidUrl) as refused:
        parse_url(url)

    assert "hidden" not in str(refused.value)


def test_p7_no_password_is_in_a_repr() -> None:
    """A traceback may print it."""
    address = parse_url("redis+sentinel://u:hidden@s/shop?sentinel_password=hidden")

    assert "hidden" not in repr(address)
