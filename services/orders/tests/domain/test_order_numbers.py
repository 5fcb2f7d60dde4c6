import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.domain.orders import ALPHABET, format_order_number, generate_order_number, is_order_number

NUMBERS = st.integers(0, 2**32).map(lambda seed: generate_order_number(random.Random(seed).randrange))  # noqa: S311 - a test


def test_the_alphabet_has_no_look_alikes() -> None:
    """Of each pair that people confuse one is left out; and no vowel, so that no number is a word."""
    pairs = ["0O", "1I", "1L", "IL", "2Z", "5S", "6G", "8B", "MN", "UV"]

    assert all(len(set(pair) & set(ALPHABET)) <= 1 for pair in pairs)
    assert not set("AEIOU") & set(ALPHABET)
    assert len(set(ALPHABET)) == len(ALPHABET) == 23


@given(NUMBERS)
def test_a_number_is_valid_in_any_case_and_grouping(number: str) -> None:
    """Three groups of three characters, which may be typed without the groups."""
    typed = number.lower().replace("-", " ")

    assert re.fullmatch(f"[{ALPHABET}]{{3}}-[{ALPHABET}]{{3}}-[{ALPHABET}]{{3}}", number)
    assert is_order_number(number)
    assert is_order_number(typed)
    assert format_order_number(typed) == number


@given(NUMBERS, st.integers(0, 8), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_found(number: str, position: int, typed: str) -> None:
    """No two numbers differ in one character only."""
    characters = list(number.replace("-", ""))
    wrong = characters[position] != typed
    characters[position] = typed

    assert is_order_number("".join(characters)) is not wrong


@given(NUMBERS, st.integers(0, 8), st.integers(0, 8))
def test_two_swapped_characters_are_found(number: str, one: int, other: int) -> None:
    """No two numbers differ by a swap only."""
    characters = list(number.replace("-", ""))
    wrong = characters[one] != characters[other]
    characters[one], characters[other] = characters[other], characters[one]

    assert is_order_number("".join(characters)) is not wrong


@pytest.mark.parametrize("text", ["", "K7M", "000-000-000", "222-222-2222", "222-222-22\0"])
def test_other_texts_are_no_numbers(text: str) -> None:
    """Wrong lengths and characters outside the alphabet."""
    assert not is_order_number(text)
