import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import is_attempt_id
from payments_gateway.domain.callers import Caller
from servicekit.violations import InvalidRequest

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
IDS = AttemptIds(b"one secret")
ADA = Caller("user_ada")


def test_without_a_key_every_id_is_new() -> None:
    """Two requests without a key are two checkouts."""
    ids = {IDS.derive(GUEST, None) for _ in range(100)}

    assert len(ids) == 100
    assert all(uuid.UUID(attempt_id).version == 4 for attempt_id in ids)


@pytest.mark.parametrize("caller", [GUEST, ADA])
def test_a_key_always_gives_its_caller_the_same_id(caller: Caller) -> None:
    """A retry, at whichever gateway of the same secret, finds its attempt."""
    first = IDS.derive(caller, KEY)
    elsewhere = AttemptIds(b"one secret").derive(caller, KEY)

    assert first == elsewhere
    assert is_attempt_id(first)


def test_a_key_gives_every_caller_another_id() -> None:
    """Nobody reaches another caller's attempt by sending the other's key."""
    ids = {IDS.derive(caller, KEY) for caller in (GUEST, ADA, Caller("user_bob"), Caller("None"))}

    assert len(ids) == 4


def test_an_id_cannot_be_worked_out_without_the_secret() -> None:
    """Another secret gives another id for the same caller and key."""
    ours = IDS.derive(ADA, KEY)
    guessed = AttemptIds(b"another secret").derive(ADA, KEY)

    assert ours != guessed


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_users_and_keys_never_run_into_one_another(left: str, right: str) -> None:
    """What is hashed keeps user and key apart: moving a character from one to the other gives another id."""
    ids = AttemptIds(b"one secret")
    moved = Caller(left + "k")

    assert ids.derive(moved, "ey") != ids.derive(Caller(left), "key")
    assert ids.derive(moved, "ey") != ids.derive(Caller(left + right + "k"), "ey")


@pytest.mark.parametrize(
    "key",
    [
        "order-1",
        "00000000-0000-0000-0000-000000000000",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "{0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60}",
        "0b0f9e3c2f6a4c579d417f2a3c1e5d60",
        "",
    ],
    ids=["a word", "the nil UUID", "a UUID of the time", "braces", "no dashes", "nothing"],
)
def test_a_guests_key_must_be_a_random_uuid(key: str) -> None:
    """Guests share one name space, so a key that can be guessed is refused."""
    with pytest.raises(InvalidRequest) as refusal:
        IDS.derive(GUEST, key)

    [violation] = refusal.value.violations
    assert violation.field == "Idempotency-Key"
    assert violation.description == "must be a random UUID (version 4) for a guest"


@pytest.mark.parametrize("key", ["order-1", "a key with spaces", "x" * 255])
def test_a_users_key_may_be_any_short_text(key: str) -> None:
    """A user's keys are the user's own affair."""
    attempt_id = IDS.derive(ADA, key)

    assert is_attempt_id(attempt_id)


@pytest.mark.parametrize("key", ["", "x" * 256, "clé", "a\tb"], ids=["empty", "too long", "not ASCII", "a tab"])
def test_a_users_key_must_be_printable_and_short(key: str) -> None:
    """What is not 1 to 255 printable ASCII characters is refused by name."""
    with pytest.raises(InvalidRequest) as refusal:
        IDS.derive(ADA, key)

    [violation] = refusal.value.violations
    assert violation.field == "Idempotency-Key"


@pytest.mark.parametrize(
    "text",
    ["", "attempt", KEY.upper(), KEY.replace("-", ""), "{" + KEY + "}", "urn:uuid:" + KEY, KEY + "\n", KEY + "0"],
)
def test_only_the_canonical_form_is_an_attempt_id(text: str) -> None:
    """An id has one spelling, so that it names one key in every store."""
    assert is_attempt_id(KEY)
    assert not is_attempt_id(text)
