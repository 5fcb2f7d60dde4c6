"""Faults of processes: killed, frozen, restarted with another key, or emptied."""

import asyncio
import base64
import random
import time
from functools import partial
from typing import Final

import redis

from .faults import Fault
from .faulty_system import GATEWAYS, FaultySystem
from .history import History, Wipe

_START_TRIES: Final = 5
_POLL_SECONDS: Final = 0.05
_STORES: Final = ("valkey", "postgres")


def process_faults(faulty: FaultySystem) -> list[Fault]:
    """Return the faults of services and of stores, which strike beside each other."""
    services = ("checkout-session", "orders", *GATEWAYS, *faulty.reconcilers)
    return [
        *(Fault(f"kill {name}", partial(_kill, faulty, name), "services") for name in services),
        *(Fault(f"freeze {name}", partial(_freeze, faulty, name), "services") for name in services),
        *(Fault(f"kill {name}", partial(_kill, faulty, name), "stores") for name in _STORES),
        *(Fault(f"freeze {name}", partial(_freeze, faulty, name), "stores") for name in (*_STORES, "stripe-simulator")),
        Fault("rotate an encryption key", partial(_rotate_encryption_key, faulty), "services", slow=True),
        Fault("rotate the attempt id secret", partial(_rotate_attempt_id_secret, faulty), "services", slow=True),
    ]


async def _kill(faulty: FaultySystem, name: str, rng: random.Random) -> int:
    """SIGKILL a process, and start it again, sometimes after a while."""
    await faulty.system.backend.kill(name)
    await asyncio.sleep(rng.choice([0.0, 0.5, 1.5]))
    await start_again(faulty, name)
    return 1


async def start_again(faulty: FaultySystem, name: str) -> None:
    """Start a process, again if it ends because another one is away."""
    for attempt in range(1, _START_TRIES + 1):
        try:
            await faulty.system.backend.start(name)
        except RuntimeError:  # ProcessFailed, or ContainerFailed
            if attempt == _START_TRIES:
                raise
        else:
            return


async def _freeze(faulty: FaultySystem, name: str, rng: random.Random) -> int:
    """SIGSTOP a process for a while: its connections stay open."""
    seconds = rng.uniform(0.5, 4.0)
    try:
        await faulty.system.backend.pause(name)
    except OSError:  # Docker's: a busy container cannot always be frozen
        return 0
    await asyncio.sleep(seconds)
    await faulty.system.backend.resume(name)
    return 1


async def _rotate_encryption_key(faulty: FaultySystem, rng: random.Random) -> int:
    """Put a new key before those of a service that encrypts, and keep the old ones for what they encrypted."""
    name = rng.choice(["checkout-session", "orders"])
    keys = faulty.system.backend.settings_of(name)["ENCRYPTION_KEYS"]
    new = f"k{keys.count(',') + 1}-{rng.randrange(10**6)}:{base64.b64encode(rng.randbytes(32)).decode()}"
    await _restart(faulty, name, {"ENCRYPTION_KEYS": f"{new},{keys}"})
    return 1


async def _rotate_attempt_id_secret(faulty: FaultySystem, rng: random.Random) -> int:
    """Let every process accept a second secret, and then make ids with it; at the next strike, change back."""
    names = (*GATEWAYS, *faulty.reconcilers)
    first, _, second = faulty.system.backend.settings_of(GATEWAYS[0])["ATTEMPT_ID_SECRETS"].partition(",")
    if not second:
        second = rng.randbytes(32).hex()
        for name in names:
            await _restart(faulty, name, {"ATTEMPT_ID_SECRETS": f"{first},{second}"})
    for name in names:
        await _restart(faulty, name, {"ATTEMPT_ID_SECRETS": f"{second},{first}"})
    return 1


async def _restart(faulty: FaultySystem, name: str, settings: dict[str, str]) -> None:
    try:
        await faulty.system.backend.restart(name, settings)
    except RuntimeError:  # ProcessFailed, or ContainerFailed
        await start_again(faulty, name)


async def wipe(faulty: FaultySystem, history: History) -> None:
    """Let Redis lose everything, as soon as it answers, and note when."""
    while True:
        began_at = time.time()
        try:
            await faulty.system.attempt_store.client.flushall()
        except (redis.ConnectionError, redis.TimeoutError):
            await asyncio.sleep(_POLL_SECONDS)
        else:
            history.wipes.append(Wipe(began_at, time.time()))
            return
