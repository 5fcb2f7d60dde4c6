"""What leads beyond this machine, in every form in which an address is written."""

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
def test_this_machine_is_known(address: str) -> None:
    """Nobody else listens there."""
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
def test_everything_else_leads_away(address: str) -> None:
    """Also what only looks like this machine, and what cannot be told."""
    assert is_remote_address(address)
