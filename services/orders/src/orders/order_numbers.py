"""Order numbers that a person can read out on the phone: K7M-2QX-9FW.

Eight random characters and a check character. The alphabet leaves out what looks or sounds like another
character (0/O, 1/I/L, 2/Z, 5/S, 6/G, 8/B, M/N, U/V) and all vowels, so that no number spells a word. It has a prime
number of characters, so the weighted check finds every single wrong character and every swap of two.
"""

from collections.abc import Callable, Sequence

ALPHABET = "23456789CDFHJKMPQRTVWXY"
RANDOM_CHARACTERS = 8
GROUP = 3


def draw_order_number(random_below: Callable[[int], int]) -> str:
    """Draw a new order number; `random_below(n)` gives a number from 0 up to, not including, n."""
    values = [random_below(len(ALPHABET)) for _ in range(RANDOM_CHARACTERS)]
    return write_order_number("".join(ALPHABET[value] for value in [*values, _check_value(values)]))


def write_order_number(heard: str) -> str:
    """Write a number as it is stored, however its characters were grouped."""
    characters = _characters(heard)
    return "-".join(characters[start : start + GROUP] for start in range(0, len(characters), GROUP))


def is_order_number(text: str) -> bool:
    """Say whether a number was heard right: the grouping is free, the check character must fit."""
    characters = _characters(text)
    if len(characters) != RANDOM_CHARACTERS + 1 or not set(characters) <= set(ALPHABET):
        return False
    values = [ALPHABET.index(character) for character in characters]
    return values[-1] == _check_value(values[:-1])


def _characters(text: str) -> str:
    return text.upper().replace("-", "").replace(" ", "")


def _check_value(values: Sequence[int]) -> int:
    # Weights from 2 up: the check character itself weighs 1, so that swapping it with a neighbour shows too.
    weighted = sum(weight * value for weight, value in enumerate(values, start=2))
    return -weighted % len(ALPHABET)
