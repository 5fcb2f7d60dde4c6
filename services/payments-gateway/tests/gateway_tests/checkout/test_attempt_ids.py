import re
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
FIRST, SECOND = b"one secret", b"another secret"
IDS = AttemptIds([FIRST])
ADA = Caller("user_ada")


def test_without_a_key_every_id_is_new() -> None:
    """Two requests without a key are two checkouts. Every id is a canonical UUID of version 8."""
    ids = {IDS.derive(GUEST, None) for _ in range(100)}

    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)


@pytest.mark.parametrize("caller", [GUEST, ADA])
def test_a_key_gives_its_caller_the_same_id_at_every_gateway(caller: Caller) -> None:
    """A retry finds its attempt; without the secret nobody can compute the id."""
    derived = IDS.derive(caller, KEY)

    assert derived == AttemptIds([FIRST]).derive(caller, KEY)
    assert derived != AttemptIds([SECOND]).derive(caller, KEY)
    assert is_attempt_id(derived)


@pytest.mark.parametrize("key", [None, KEY], ids=["random", "derived"])
def test_an_id_proves_which_secret_made_it(key: str | None) -> None:
    """Ours is recognized during a rotation, with either secret first, and another shop's is not."""
    ours = IDS.derive(ADA, key)

    assert all(AttemptIds(secrets).is_ours(ours) for secrets in ([FIRST], [FIRST, SECOND], [SECOND, FIRST]))
    assert not AttemptIds([SECOND]).is_ours(ours)
    assert not IDS.is_ours(str(uuid.uuid4()))
    assert not IDS.is_ours(ours.upper())
    assert not IDS.is_ours("attempt")


@given(st.integers(min_value=0, max_value=127))
def test_an_id_with_any_bit_changed_is_not_ours(bit: int) -> None:
    """A mistyped id is refused: payload, MAC, version and variant all count."""
    ours = IDS.derive(ADA, KEY)

    assert not IDS.is_ours(str(uuid.UUID(int=uuid.UUID(ours).int ^ 1 << bit)))


def test_a_retry_after_a_rotation_knows_the_ids_of_the_other_secrets() -> None:
    """So that it finds the attempt that was derived under the other secret; with one secret there is none to ask."""
    rotated = AttemptIds([SECOND, FIRST])

    assert rotated.derive_with_other_secrets(ADA, KEY) == [IDS.derive(ADA, KEY)]
    assert rotated.derive(ADA, KEY) == AttemptIds([SECOND]).derive(ADA, KEY)
    assert IDS.derive_with_other_secrets(ADA, KEY) == []


def test_a_key_gives_every_caller_another_id() -> None:
    """Nobody reaches another caller's attempt by sending that caller's key."""
    ids = {IDS.derive(caller, KEY) for caller in (GUEST, ADA, Caller("user_bob"), Caller("None"))}

    assert len(ids) == 4


@given(st.text(min_size=1, max_size=20))
def test_user_and_key_are_hashed_apart(user_id: str) -> None:
    """A character moved from the user to the key gives another id."""
    assert IDS.derive(Caller(user_id + "k"), "ey") != IDS.derive(Caller(user_id), "key")


GUEST_KEYS = [
    "order-1",
    str(uuid.UUID(int=0)),
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    f"{{{KEY}}}",
    KEY.replace("-", ""),
    "",
]
USER_KEYS = ["", "x" * 256, "clé", "a\tb"]


@pytest.mark.parametrize(
    ("caller", "key", "description"),
    [
        *((GUEST, key, "must be a random UUID (version 4) for a guest") for key in GUEST_KEYS),
        *((ADA, key, "must be 1 to 255 printable ASCII characters") for key in USER_KEYS),
    ],
)
def test_an_unacceptable_key_is_refused(caller: Caller, key: str, description: str) -> None:
    """Guests share a namespace, so their keys must not be guessable; a user's key is any short printable text."""
    with pytest.raises(InvalidRequest) as refusal:
        IDS.derive(caller, key)

    [violation] = refusal.value.violations
    assert (violation.field, violation.description) == ("Idempotency-Key", description)


@pytest.mark.parametrize("key", ["order-1", "a key with spaces", "x" * 255])
def test_a_users_key_may_be_any_short_text(key: str) -> None:
    """A user's keys have a namespace of their own."""
    assert is_attempt_id(IDS.derive(ADA, key))


@pytest.mark.parametrize(
    "text",
    ["", "attempt", KEY.upper(), KEY.replace("-", ""), "{" + KEY + "}", "urn:uuid:" + KEY, KEY + "\n", KEY + "0"],
)
def test_only_the_canonical_form_is_an_attempt_id(text: str) -> None:
    """An id has one spelling, so that it names one key in every store."""
    assert is_attempt_id(KEY)
    assert not is_attempt_id(text)
