"""Faults of the network: connections that break, are slow or fall silent."""

import asyncio
import random
import time
from functools import partial
from typing import Final

from .faults import Fault
from .faulty_system import FaultySystem
from .tcp_proxy import TcpProxy

_SECONDS_TO_STRIKE: Final = 5.0
"""Time in which a link is used at least once."""


def network_faults(faulty: FaultySystem) -> list[Fault]:
    """Return the faults of each link."""
    return [
        Fault(f"{word} {link}", partial(strike, proxy), "network")
        for link, proxy in faulty.links.items()
        for word, strike in (("cut", _cut), ("delay", _delay), ("silence", _silence))
    ]


async def _cut(proxy: TcpProxy, rng: random.Random) -> int:
    """Break all connections, several times."""
    cut, deadline = 0, time.monotonic() + _SECONDS_TO_STRIKE
    times = rng.randint(1, 4)
    while times > 0 and time.monotonic() < deadline:
        broken = proxy.cut()
        cut, times = cut + broken, times - (broken > 0)
        await asyncio.sleep(rng.uniform(0.05, 0.4))
    return cut


async def _delay(proxy: TcpProxy, rng: random.Random) -> int:
    """Delay all bytes."""
    before = proxy.delayed
    proxy.delay_seconds = rng.choice([0.02, 0.1, 0.4])
    await asyncio.sleep(rng.uniform(1.0, 3.0))
    proxy.delay_seconds = 0.0
    return proxy.delayed - before


async def _silence(proxy: TcpProxy, rng: random.Random) -> int:
    """Pass nothing on, and either go on later or break what was held."""
    before = proxy.delayed
    proxy.fall_silent()
    await asyncio.sleep(rng.uniform(0.5, 4.0))
    if rng.random() < 0.5:
        proxy.cut()
    proxy.speak()
    return proxy.delayed - before
