"""The password of Redis is replaced by the commands of docs/secrets.md."""

import pytest
import redis

from devstack.embedded_valkey import EmbeddedValkey
from tests.docs.documented_commands import run_redis

from ..harness import Stub, get, new_request, run_service


async def test_a_password_is_replaced_without_a_pause() -> None:
    """Servers with the old and with the new one work at once, and then the old one opens nothing."""
    requests = [new_request() for _ in range(3)]
    with EmbeddedValkey.temporary(password="old") as server:
        new_url = server.url.replace(":old@", ":new@")
        async with run_service(server.url) as old_server:
            await Stub(old_server).SaveAttempt(requests[0])
            run_redis("Add a password", server, NEW_PASSWORD="new")
            async with run_service(new_url) as new_server:
                await Stub(new_server).SaveAttempt(requests[1])
                await Stub(old_server).SaveAttempt(requests[2])
                run_redis("Remove a password", server, REDISCLI_AUTH="new", OLD_PASSWORD="old")

                found = [await Stub(new_server).GetAttempt(get(each.attempt_id)) for each in requests]
        with pytest.raises(redis.AuthenticationError):
            server.execute("PING")

    assert [each.attempt.attempt_id for each in found] == [each.attempt_id for each in requests]
