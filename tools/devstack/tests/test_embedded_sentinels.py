"""Real sentinels: they name the master, and another one when it is gone."""

from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.embedded_sentinels import PRIMARY_NAME, EmbeddedSentinels


@pytest.fixture(scope="module")
def sentinels() -> Iterator[EmbeddedSentinels]:
    """Run a master, its replica and their sentinels, for all that need no master killed."""
    with EmbeddedSentinels.temporary() as running:
        yield running


def test_every_sentinel_leads_to_the_master(sentinels: EmbeddedSentinels) -> None:
    """A client that knows any of them finds it."""
    named = [
        sentinel.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME)[1] for sentinel in sentinels.sentinels
    ]

    assert {int(port) for port in named} == {sentinels.primary.port}


def test_strangers_are_not_told(sentinels: EmbeddedSentinels) -> None:
    """A sentinel asks for its own password."""
    with (
        redis.Redis(port=sentinels.sentinels[0].port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_the_replica_takes_over_on_command(sentinels: EmbeddedSentinels) -> None:
    """What it has heard is kept; and a sentinel that was restarted since still leads to it."""
    master, replica = sentinels.primary, sentinels.replica
    master.execute("SET", "kept", "yes")
    master.execute("WAIT", 1, 10_000)

    successor = sentinels.fail_over()

    assert successor is replica is sentinels.primary
    assert successor.execute("GET", "kept") == "yes"
    last = sentinels.sentinels[-1]
    last.restart()
    assert int(last.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME)[1]) == successor.port


def test_a_killed_master_is_replaced() -> None:
    """The sentinels agree that it is down and promote its replica; nothing is left in the end."""
    with EmbeddedSentinels.temporary() as sentinels:
        everything = [*sentinels.servers, *sentinels.sentinels]
        replica = sentinels.replica
        sentinels.automatic_failover(down_after_ms=500)

        sentinels.primary.kill()

        sentinels.wait_until_promoted(replica)
        assert sentinels.primary is replica
    assert not any(server.running for server in everything)
    assert not any(server.data_dir.exists() for server in everything)
