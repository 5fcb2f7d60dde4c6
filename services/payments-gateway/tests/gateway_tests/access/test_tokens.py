import base64
import time
from typing import Any

import jwt
import pytest

from payments_gateway.access.tokens import GUEST, SharedSecret, TokenValidation, TokenVerifier, Unauthenticated
from payments_gateway.domain.callers import Caller

SECRET = "the-shop-signs-its-tokens-with-this-long-secret-of-sixty-four-chars"
VERIFIER = TokenVerifier(SharedSecret(SECRET), TokenValidation())


def token(algorithm: str = "HS256", secret: str = SECRET, **claims: Any) -> str:
    """Return a token of Ada's that is valid unless changed; a claim of None is left out."""
    given = {"sub": "user_ada", "exp": time.time() + 600, **claims}
    return jwt.encode({name: value for name, value in given.items() if value is not None}, secret, algorithm=algorithm)


def unsigned(header: bytes, payload: bytes = b'{"sub":"user_ada","exp":99999999999}') -> str:
    """Return a token of these parts whose signature is nonsense."""
    parts = (header, payload, b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


async def test_a_valid_token_names_its_user() -> None:
    """The user is the token's subject."""
    caller = await VERIFIER.caller("Bearer " + token())

    assert caller == Caller("user_ada")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    """HTTP's schemes know no case."""
    caller = await VERIFIER.caller(f"{scheme} {token()}")

    assert caller == Caller("user_ada")


async def test_no_header_is_a_guest() -> None:
    """Where guests are allowed, no token is needed."""
    assert await VERIFIER.caller(None) == GUEST


async def test_no_header_is_refused_where_guests_are() -> None:
    """Where guests are not allowed, every request needs a token."""
    with pytest.raises(Unauthenticated):
        await TokenVerifier(SharedSecret(SECRET), TokenValidation(), allow_guests=False).caller(None)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer a.b.c",
        "Bearer " + "é" * 10,
        "Basic " + token(),
        token(),
        "Bearer " + token()[:-2],
        "Bearer " + token(secret="another-secret-that-is-long-enough-for-it"),
        "Bearer " + token(exp=time.time() - 60),
        "Bearer " + token(exp=None),
        "Bearer " + token(nbf=time.time() + 86_400),
        "Bearer " + token(iat=time.time() + 86_400),
        "Bearer " + token(sub=None),
        "Bearer " + token(sub=""),
        "Bearer " + token(sub="a\x00b"),
        "Bearer " + token(sub="u" * 256),
        "Bearer " + token(padding="p" * 8192),
        "Bearer " + token("HS512"),
        "Bearer " + unsigned(b'{"alg":"none","typ":"JWT"}'),
        "Bearer " + unsigned(b'{"alg":"HS256"}'),
        "Bearer " + unsigned(b"[" * 5000),
        "Bearer " + unsigned(b"\xff\xfe"),
        "Bearer " + unsigned(b'["HS256"]'),
    ],
    ids=[
        "empty",
        "no token",
        "blank token",
        "nonsense",
        "three nonsenses",
        "not ASCII",
        "another scheme",
        "no scheme",
        "cut short",
        "another secret",
        "expired",
        "without expiry",
        "not yet valid",
        "issued in the future",
        "no subject",
        "empty subject",
        "control character in subject",
        "long subject",
        "huge",
        "HS512",
        "no algorithm",
        "not signed",
        "nested header",
        "binary header",
        "header is a list",
    ],
)
async def test_a_bad_token_is_never_a_guest(header: str) -> None:
    """Whatever is sent that is no valid token is refused, and the refusal quotes nothing of it."""
    with pytest.raises(Unauthenticated) as refusal:
        await VERIFIER.caller(header)

    assert str(refusal.value) == ""
    assert refusal.value.__cause__ is None


async def test_a_subject_must_be_text() -> None:
    """A number is nobody's user id; signed by hand, since the library would not make such a token."""
    numbered = jwt.api_jws.encode(b'{"sub":7,"exp":99999999999}', SECRET, algorithm="HS256")

    with pytest.raises(Unauthenticated):
        await VERIFIER.caller("Bearer " + numbered)


async def test_clocks_may_differ_a_little() -> None:
    """A token that expired a moment ago by our clock is still good."""
    caller = await VERIFIER.caller("Bearer " + token(exp=time.time() - 2))

    assert caller == Caller("user_ada")


@pytest.mark.parametrize("claims", [{}, {"aud": "another"}, {"iss": "elsewhere"}, {"aud": "shop"}, {"iss": "id"}])
async def test_audience_and_issuer_must_be_ours_where_they_are_set(claims: dict[str, str]) -> None:
    """A token that was made for another service or by another issuer is refused."""
    verifier = TokenVerifier(SharedSecret(SECRET), TokenValidation("shop", "id"))

    with pytest.raises(Unauthenticated):
        await verifier.caller("Bearer " + token(**claims))


async def test_a_token_for_our_audience_by_our_issuer_is_taken() -> None:
    """The audience may be one of several."""
    verifier = TokenVerifier(SharedSecret(SECRET), TokenValidation("shop", "id"))

    caller = await verifier.caller("Bearer " + token(aud=["elsewhere", "shop"], iss="id"))

    assert caller == Caller("user_ada")


async def test_an_audience_is_no_hindrance_where_none_is_set() -> None:
    """A shop that sets no audience takes tokens that name one."""
    caller = await VERIFIER.caller("Bearer " + token(aud="shop"))

    assert caller == Caller("user_ada")


async def test_without_a_secret_every_token_is_refused() -> None:
    """An empty or missing secret must never verify anything; guests are still guests."""
    verifier = TokenVerifier(None, TokenValidation())

    with pytest.raises(Unauthenticated):
        await verifier.caller("Bearer " + token())
    assert await verifier.caller(None) == GUEST


@pytest.mark.parametrize(
    ("caller", "owner", "answers"),
    [
        (GUEST, None, True),
        (Caller("user_ada"), None, True),
        (Caller("user_ada"), "user_ada", True),
        (Caller("user_bob"), "user_ada", False),
        (GUEST, "user_ada", False),
    ],
)
def test_what_has_an_owner_answers_only_its_owner(caller: Caller, owner: str | None, answers: bool) -> None:  # noqa: FBT001 — a column of the table
    """What has no owner answers anyone."""
    assert caller.owns(owner) is answers
