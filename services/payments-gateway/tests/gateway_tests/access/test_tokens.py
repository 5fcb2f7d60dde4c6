import json
import time
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.local_issuer import AUDIENCE, SigningKey
from payments_gateway.access.tokens import GUEST, SharedSecret, TokenValidation, TokenVerifier, Unauthenticated
from payments_gateway.domain.callers import Caller

from ..signing import ISSUER, VALIDATION, KeySet, by_hand, cached, claims, rsa_key, signed_with_secret

SECRET = "the-shop-signs-its-tokens-with-this-long-secret-of-sixty-four-chars"
VERIFIER = TokenVerifier(SharedSecret(SECRET), TokenValidation())
EC = SigningKey.ec("ec")
RSA = rsa_key("rsa")
STRANGER = SigningKey("ec", "ES256", SigningKey.ec("ec").private)
"""Another key under the id of the issuer's."""
HALF_SIGNED = EC.sign(claims()).rpartition(".")[0]


def hmac_by(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    """Return a token of the shared secret."""
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


def headed(**headers: object) -> str:
    """Sign valid claims with the issuer's own key under another header."""
    return EC.sign(claims(), **headers)


def claimed(**changes: object) -> str:
    """Sign other claims with the issuer's own key."""
    return EC.sign(claims(**changes))


def unsigned(header: dict[str, object]) -> str:
    """Return valid claims without a signature."""
    return by_hand(header, json.dumps(claims()).encode())


def confused(key: SigningKey, algorithm: str, encoding: Encoding, form: PublicFormat) -> str:
    """Sign by HMAC with the public key, which everybody knows."""
    secret = key.private.public_key().public_bytes(encoding, form)
    return signed_with_secret({"alg": algorithm, "kid": key.key_id, "typ": "JWT"}, secret)


SPKI = PublicFormat.SubjectPublicKeyInfo
FORGERIES: dict[str, dict[str, str]] = {
    "expired": {
        "expired": claimed(exp=int(time.time()) - 60),
    },
    "missing_claim": {
        "expires never": claimed(exp=None),
        "empty audience": claimed(aud=[]),
        "no audience": claimed(aud=None),
        "no issuer": claimed(iss=None),
        "no subject": claimed(sub=None),
    },
    "malformed": {
        "expires in words": claimed(exp="tomorrow"),
        "expires at infinity": claimed(exp=float("inf")),
        "key id is a number": unsigned({"alg": "ES256", "kid": 7}),
        "key id is null": unsigned({"alg": "ES256", "kid": None}),
        "unknown extension": headed(crit=["https://x.example/ext"], **{"https://x.example/ext": 1}),
        "known extension": headed(crit=["b64"], b64=True),
        "empty list of extensions": headed(crit=[]),
        "one part": "ec",
        "two parts": HALF_SIGNED,
        "four parts": claimed() + ".e30",
        "five parts, as encrypted ones have": claimed() + ".e30.e30",
        "only dots": "..",
        "not ASCII": "é" * 10,
        "header is nested": "W1tbW1tb." * 3,
        "header is a list": "WyJIUzI1NiJd.e30.e30",
        "claims are a list": EC.sign_bytes(b"[]"),
        "claims are nested": EC.sign_bytes(b"[" * 5000),
        "claims are no text": EC.sign_bytes(b"\xff\xfe"),
    },
    "not_yet_valid": {
        "not yet valid": claimed(nbf=int(time.time()) + 86_400),
        "issued in the future": claimed(iat=int(time.time()) + 86_400),
    },
    "audience": {
        "another audience": claimed(aud="another"),
        "several other audiences": claimed(aud=["another", "shopkeeper"]),
        "audience is a number": claimed(aud=7),
        "audience is an object": claimed(aud={"shop": True}),
    },
    "issuer": {
        "another issuer": claimed(iss="https://another.example"),
        "issuer with a slash": claimed(iss=ISSUER + "/"),
        "issuer is a list": EC.sign_bytes(json.dumps(claims(iss=[ISSUER])).encode()),
    },
    "subject": {
        "subject is a number": claimed(sub=7),
        "subject is a list": claimed(sub=["user_ada"]),
        "empty subject": claimed(sub=""),
        "line break in the subject": claimed(sub="user_ada\r\nX: y"),
        "null in the subject": claimed(sub="user_ada\x00"),
        "half a character in the subject": claimed(sub="\ud800"),
        "bidirectional control in the subject": claimed(sub="user_\u202eada"),
        "long subject": claimed(sub="u" * 256),
    },
    "algorithm": {
        **{
            f"alg {spelling!r}": unsigned({"alg": spelling, "kid": "ec", "typ": "JWT"})
            for spelling in cast("list[object]", ["none", "None", "NONE", "nOnE", "", " none", None, 0, []])
        },
        "no alg": unsigned({"kid": "ec"}),
        "HS256 with the public key's PEM": confused(RSA, "HS256", Encoding.PEM, SPKI),
        "HS256 with the public key's DER": confused(RSA, "HS256", Encoding.DER, SPKI),
        "HS256 with the public key's PKCS1": confused(RSA, "HS256", Encoding.DER, PublicFormat.PKCS1),
        "HS256 with the public point": confused(EC, "HS256", Encoding.X962, PublicFormat.UncompressedPoint),
        "HS256 with the published key": signed_with_secret(
            {"alg": "HS256", "kid": "rsa"}, json.dumps(RSA.to_jwk()).encode()
        ),
        "HS256 with nothing": signed_with_secret({"alg": "HS256", "kid": "ec"}, b""),
        "RS512": SigningKey("rsa", "RS512", RSA.private).sign(claims()),
    },
    "signature": {
        "RS256 named, HMAC made": confused(RSA, "RS256", Encoding.PEM, SPKI),
        "a stranger's key under a known id": STRANGER.sign(claims()),
        "a key of its own": STRANGER.sign(claims(), jwk=STRANGER.to_jwk()),
        "the address of a stranger's key": STRANGER.sign(claims(), jku="https://x.example", x5u="https://x.example"),
        "no signature": HALF_SIGNED + ".",
        "signature cut short": claimed()[:-2],
    },
    "unknown_key": {
        "another key's algorithm": headed(alg="ES256", kid="rsa"),
        "another algorithm of the type": SigningKey("rsa", "PS256", RSA.private).sign(claims()),
        "no key id": headed(kid=None),
    },
    "extension": {
        "payload left out": by_hand({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": False}, b""),
    },
    "too_long": {
        "over 8 KiB": claimed(padding="p" * 8192),
        "64 KiB": claimed(padding="p" * 48_000),
    },
}
"""By the reason for which they are rejected."""


@pytest.mark.parametrize(
    ("reason", "token"),
    [pytest.param(reason, token, id=name) for reason, tokens in FORGERIES.items() for name, token in tokens.items()],
)
async def test_p6_a_forged_or_corrupt_token_signs_nobody_in(reason: str, token: str) -> None:
    """The rejection quotes nothing of the token, and the issuer is not asked."""
    source = KeySet(EC, RSA)
    async with cached(source) as keys:
        with pytest.raises(Unauthenticated) as rejected:
            await TokenVerifier(keys, VALIDATION).caller(f"Bearer {token}")

    assert (rejected.value.reason, str(rejected.value), rejected.value.__cause__) == (reason, "", None)
    assert source.reads == 1


async def test_p6_a_secret_among_the_issuers_keys_verifies_nothing() -> None:
    """Keys are published, so a symmetric one is known to everybody."""
    secret = b"secret-secret-secret-secret-secret"
    source = KeySet(EC)
    source.keys.append(
        {"kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}
    )
    async with cached(source) as keys:
        with pytest.raises(Unauthenticated):
            await TokenVerifier(keys, VALIDATION).caller(
                f"Bearer {signed_with_secret({'alg': 'HS256', 'kid': 's'}, secret)}"
            )


async def test_a_token_of_an_unknown_key_asks_the_issuer_unless_its_claims_are_invalid() -> None:
    """Expired, or for another audience: the key would not matter."""
    unknown = SigningKey.ec("../../keys")
    source = KeySet(EC)
    async with cached(source) as keys:
        reads = []
        for changes in ({}, {"exp": 1}, {"aud": "another"}, {"iss": "https://another.example"}, {"sub": None}):
            with pytest.raises(Unauthenticated):
                await TokenVerifier(keys, VALIDATION).caller(f"Bearer {unknown.sign(claims(**changes))}")
            reads.append(source.reads)

    assert reads == [2] * 5


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_token_of_the_shared_secret_names_its_user(scheme: str) -> None:
    """The scheme may be written in any case; clocks may differ by a few seconds; any audience is accepted."""
    caller = await VERIFIER.caller(f"{scheme} {hmac_by(exp=time.time() - 2)}")

    assert caller == Caller("user_ada")


BAD_HEADERS = {
    "empty": "",
    "no token": "Bearer",
    "blank token": "Bearer ",
    "nonsense": "Bearer nonsense",
    "another scheme": "Basic " + hmac_by(),
    "no scheme": hmac_by(),
    "cut short": "Bearer " + hmac_by()[:-2],
    "another secret": "Bearer " + hmac_by("another-secret-that-is-long-enough-for-it"),
    "HS512": "Bearer " + hmac_by(algorithm="HS512"),
    "a key pair's": "Bearer " + EC.sign(claims()),
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
async def test_a_bad_token_is_never_a_guest(header: str) -> None:
    """A header that is no valid token of the shared secret is rejected."""
    with pytest.raises(Unauthenticated):
        await VERIFIER.caller(header)


@pytest.mark.parametrize(
    ("token_claims", "accepted"),
    [
        ({"aud": ["elsewhere", AUDIENCE], "iss": ISSUER}, True),
        ({"aud": None, "iss": None}, False),
        ({"aud": "another", "iss": ISSUER}, False),
        ({"aud": AUDIENCE, "iss": "elsewhere"}, False),
        ({"aud": AUDIENCE, "iss": None}, False),
        ({"aud": None, "iss": ISSUER}, False),
    ],
)
async def test_audience_and_issuer_must_be_ours_where_they_are_set(
    token_claims: dict[str, Any], *, accepted: bool
) -> None:
    """Also for tokens of the shared secret."""
    verifier = TokenVerifier(SharedSecret(SECRET), VALIDATION)
    try:
        caller = await verifier.caller("Bearer " + hmac_by(**token_claims))
    except Unauthenticated:
        caller = None

    assert caller == (Caller("user_ada") if accepted else None)


async def test_a_request_without_a_token_is_a_guests() -> None:
    """Where guests are allowed, also in a gateway without keys, which accepts no token."""
    keyless = TokenVerifier(None, TokenValidation())

    assert await keyless.caller(None) == GUEST
    with pytest.raises(Unauthenticated):
        await keyless.caller("Bearer " + hmac_by())
    with pytest.raises(Unauthenticated):
        await TokenVerifier(SharedSecret(SECRET), TokenValidation(), allow_guests=False).caller(None)


@pytest.mark.parametrize(
    ("caller", "owner", "owns"),
    [
        (GUEST, None, True),
        (Caller("user_ada"), None, True),
        (Caller("user_ada"), "user_ada", True),
        (Caller("user_bob"), "user_ada", False),
        (GUEST, "user_ada", False),
    ],
)
def test_an_owned_object_answers_only_its_owner(caller: Caller, owner: str | None, *, owns: bool) -> None:
    """An object without an owner answers anyone."""
    assert caller.owns(owner) is owns
