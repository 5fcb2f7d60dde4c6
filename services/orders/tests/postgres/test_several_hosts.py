"""A URL with several hosts: the one that takes writes is found, whatever the others do."""

import socket
from urllib.parse import urlsplit

from ..builders import purchase
from ..service import Client, served


async def test_a_host_that_never_answers_delays_nothing(own_database_url: str) -> None:
    """As a primary whose machine vanished, which does not even refuse a connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = urlsplit(own_database_url).netloc.rpartition("@")[2]
        url = own_database_url.replace(host, f"127.0.0.1:{silent.getsockname()[1]},{host}", 1)
        async with served(url, database_tries=1) as channel:
            answer = await Client(channel).RecordPurchase(purchase())

    assert not answer.already_recorded
