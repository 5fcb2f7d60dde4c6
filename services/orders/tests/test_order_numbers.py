"""Order numbers can be read out, heard wrong, and found out."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.domain.orders import ALPHABET, draw_order_number, is_order_number

NUMBERS = st.integers(0, 2**32).map(lambda seed: draw_order_number(random.Random(seed).randrange))  # noqa: S311 - a test


def test_a_number_is_three_groups_of_three() -> None:
    """Short groups are read out without losing one's place."""
    number = draw_order_number(random.Random(7).randrange)  # noqa: S311 - a test

    assert re.fullmatch(f"[{ALPHABET}]{{3}}-[{ALPHABET}]{{3}}-[{ALPHABET}]{{3}}", number)


def test_the_alphabet_has_no_look_alikes() -> None:
    """Of each pair that is taken for the other, one is left out; and no vowel, so that no number is a word."""
    pairs = ["0O", "1I", "1L", "IL", "2Z", "5S", "6G", "8B", "MN", "UV"]

    assert all(len(set(pair) & set(ALPHABET)) <= 1 for pair in pairs)
    assert not set("AEIOU") & set(ALPHABET)
    assert len(set(ALPHABET)) == len(ALPHABET) == 23


@given(NUMBERS)
def test_a_drawn_number_is_valid_however_it_is_written(number: str) -> None:
    """Case and grouping are the listener's business."""
    assert is_order_number(number)
    assert is_order_number(number.lower().replace("-", " "))


@given(NUMBERS, st.integers(0, 8), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_found(number: str, place: int, heard: str) -> None:
    """No two numbers differ in one character only."""
    characters = list(number.replace("-", ""))
    wrong = characters[place] != heard
    characters[place] = heard

    assert is_order_number("".join(characters)) is not wrong


@given(NUMBERS, st.integers(0, 8), st.integers(0, 8))
def test_two_swapped_characters_are_found(number: str, one: int, other: int) -> None:
    """Numbers that differ by a swap are never both valid."""
    characters = list(number.replace("-", ""))
    wrong = characters[one] != characters[other]
    characters[one], characters[other] = characters[other], characters[one]

    assert is_order_number("".join(characters)) is not wrong


@pytest.mark.parametrize("text", ["", "K7M", "000-000-000", "222-222-2222", "222-222-22\0"])
def test_what_is_no_number_is_refused(text: str) -> None:
    """Wrong length and foreign characters."""
    assert not is_order_number(text)
