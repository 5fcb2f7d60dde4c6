"""A fault: what strikes, for how long, and how often it did."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Strike = Callable[[random.Random], Awaitable[int]]
"""Strikes, lasts, and undoes what it did; returns how many processes, connections, calls or events it hit."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    strike: Strike
    lane: str
    """Faults of one lane strike one after another; lanes run beside each other."""
    slow: bool = False
    """Takes too long for the short form."""
