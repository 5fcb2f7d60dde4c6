"""What counts as a finding, for every edge alike."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

CALL_SECONDS: Final = 30.0
"""A call that takes longer hangs. The services' own deadlines are shorter; a busy machine is slow."""

_PAUSES: Final = (0.0, 0.5, 2.0)

T = TypeVar("T")


class Hang(AssertionError):
    """A call was not answered in time."""


def tried_again(call: Callable[[], T], *, is_away: Callable[[T], bool]) -> T:
    """Make a call, and make it again if the answer says that something is away.

    On a busy machine something may be away for a moment. What is away every time is so because of the input.
    """
    for pause in _PAUSES:
        answer = call()
        if not is_away(answer):
            return answer
        time.sleep(pause)
    return call()
