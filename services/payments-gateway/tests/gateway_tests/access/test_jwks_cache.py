import pytest

from devstack.local_issuer import SigningKey
from payments_gateway.access.jwks_cache import JwksUnavailable
from payments_gateway.access.tokens import TokenVerifier, Unauthenticated
from servicekit.health import NotReady

from ..fakes import until
from ..signing import VALIDATION, KeySet, cached, claims, jwks_cache, rsa_key

EC = SigningKey.ec("ec")
NEW = SigningKey.ec("new")
PSS = SigningKey("rsa", "PS256", rsa_key("rsa").private)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        (rsa_key("rsa"), {}),
        (EC, {}),
        (SigningKey.ed25519("ed"), {}),
        (rsa_key("rsa"), {"alg": None, "use": None}),
        (PSS, {"alg": None, "use": None}),
    ],
    ids=["RS256", "ES256", "EdDSA", "RS256 by its type", "PS256 by its type"],
)
async def test_a_published_key_verifies_its_tokens(key: SigningKey, changes: dict[str, object]) -> None:
    """An RSA key that is published without `alg` serves both algorithms of its type."""
    source = KeySet()
    source.keys = [key.to_jwk(**changes)]

    async with cached(source) as keys:
        caller = await TokenVerifier(keys, VALIDATION).caller(f"Bearer {key.sign(claims())}")

    assert caller.user_id == "user_ada"


@pytest.mark.parametrize(
    "odd",
    [
        *(
            rsa_key("rsa").to_jwk(**{"kid": "odd", **changes})
            for changes in (
                {"use": "enc"},
                {"key_ops": ["sign"]},
                {"key_ops": "verify"},
                {"kid": None},
                {"kid": ""},
                {"kid": 7},
                {"kid": "k" * 256},
                {"kty": "EC"},
                {"kty": ["RSA"]},
                {"kty": None},
                {"alg": "HS256"},
                {"alg": "none"},
                {"alg": "ES256"},
                {"alg": 7},
                {"n": 7},
                {"n": ""},
                {"n": "é"},
                {"e": "AA"},
                {"d": "AQAB"},
                rsa_key("rsa").to_private_jwk(),
                {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
                {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "RS256"},
            )
        ),
        SigningKey.rsa("short", bits=1024).to_jwk(),
        7,
        None,
        [],
        "key",
        {},
    ],
)
async def test_anything_but_a_public_signing_key_is_ignored(odd: object) -> None:
    """Keys for encryption, private, secret, short or malformed; the good key beside it is used."""
    source = KeySet(EC)
    source.keys.insert(0, odd)

    async with cached(source) as keys:
        assert list(keys.key_ids) == ["ec"]


async def test_a_key_of_an_algorithm_that_is_not_allowed_is_not_held() -> None:
    """The setting narrows what the key types offer."""
    async with cached(KeySet(EC, rsa_key("rsa")), algorithms=("ES256",)) as keys:
        assert list(keys.key_ids) == ["ec"]


async def test_a_refresh_finds_new_keys_and_drops_withdrawn_ones() -> None:
    """A token of an unknown key triggers it."""
    source = KeySet(EC)
    async with cached(source) as keys:
        verifier = TokenVerifier(keys, VALIDATION)
        source.publish(NEW)

        caller = await verifier.caller(f"Bearer {NEW.sign(claims())}")
        with pytest.raises(Unauthenticated) as withdrawn:
            await verifier.caller(f"Bearer {EC.sign(claims())}")

    assert (caller.user_id, withdrawn.value.reason) == ("user_ada", "unknown_key")


@pytest.mark.parametrize("published", [[], [{"kty": "oct", "k": "aaaa", "kid": "s"}]])
async def test_a_set_without_a_usable_key_replaces_nothing(published: list[object]) -> None:
    """A mistake of the issuer does not sign everybody out."""
    source = KeySet(EC)
    async with cached(source) as keys:
        source.keys = published

        with pytest.raises(JwksUnavailable):
            await keys.refresh()

        assert keys.has("ec")


async def test_readiness_needs_one_read_of_the_keys() -> None:
    """An issuer that is down keeps a starting gateway out of service."""
    source = KeySet(EC)
    source.down = True
    keys = jwks_cache(source)
    async with keys.refresh_in_background():
        await until(lambda: source.reads > 1)
        with pytest.raises(NotReady, match="never loaded"):
            await keys.check_ready()

        source.down = False
        await keys.refresh()

        await keys.check_ready()
