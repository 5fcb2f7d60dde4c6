"""Addresses beyond this machine, in every form in which they are written."""

import pytest

from servicekit.plaintext import is_remote_address


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:7001",
        "127.3.2.1:7001",
        "[::1]:7001",
        "localhost:7001",
        "dns:///localhost:7001",
        "redis://:secret@127.0.0.1:6379/0",
        "redis+cluster://user:p%40ss@127.0.0.1:7000,[::1]:7001",
        "postgresql://orders:hush@localhost/orders",
        "unix:///run/redis.sock",
    ],
)
def test_loopback_is_not_remote(address: str) -> None:
    """Nobody else can listen there."""
    assert not is_remote_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:7001",
        "[::]:7001",
        "10.0.0.7:7001",
        "checkout-session:7001",
        "dns:///checkout-session.holdfast.svc:7001",
        "redis://127.0.0.1@redis.example:6379",
        "redis+sentinel://127.0.0.1:26379,sentinel.example:26379/main",
        "postgresql://orders:hush@127.0.0.1,db.example/orders",
        "postgresql:///orders?host=db.example",
        "localhost.example:7001",
        "",
    ],
)
def test_everything_else_is_remote(address: str) -> None:
    """Also a name that only looks like this machine, and an address that cannot be parsed."""
    assert is_remote_address(address)
