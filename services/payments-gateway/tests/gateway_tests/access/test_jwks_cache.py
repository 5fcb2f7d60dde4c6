import asyncio
import gzip
import json
import time

import pytest

from devstack.local_issuer import DISCOVERY_PATH, KEYS_PATH, CannedResponse, LocalIssuer, SigningKey
from payments_gateway.access.jwks_cache import JwksCache, JwksUnavailable
from payments_gateway.access.jwks_client import JwksClient
from payments_gateway.access.tokens import Unauthenticated
from payments_gateway.rpc.readiness import issuer_keys_loaded
from servicekit.health import NotReady

from ..assembly import until
from ..fakes import FakeClock
from ..signing import PAUSE_SECONDS, kept_keys, rsa_key, user_of

EC = SigningKey.ec("ec")
NEW = SigningKey.ec("new")


@pytest.mark.parametrize("key", [rsa_key("rsa"), EC, SigningKey.ed25519("ed")], ids=["RS256", "ES256", "EdDSA"])
async def test_a_token_of_the_issuer_names_its_user(key: SigningKey) -> None:
    """RSA, elliptic curves and Edwards curves."""
    with LocalIssuer(key) as issuer:
        async with kept_keys(issuer) as keys:
            user = await user_of(key.sign(issuer.claims()), keys, issuer)

    assert user == "user_ada"


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_an_rsa_key_published_without_an_algorithm_serves_both(algorithm: str) -> None:
    """Some issuers publish no `alg`; the key's type then says what it can do."""
    key = SigningKey("rsa", algorithm, rsa_key("rsa").private)
    with LocalIssuer() as issuer:
        issuer.keys = [key.to_jwk(alg=None, use=None)]
        async with kept_keys(issuer) as keys:
            user = await user_of(key.sign(issuer.claims()), keys, issuer)

    assert user == "user_ada"


async def test_without_an_address_the_keys_are_discovered() -> None:
    """The discovery document says where they are."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer, discovered=True) as keys:
            user = await user_of(EC.sign(issuer.claims()), keys, issuer)

    assert user == "user_ada"
    assert issuer.requested_paths == [DISCOVERY_PATH, KEYS_PATH]


async def test_a_known_key_costs_no_request() -> None:
    """A thousand tokens, and the issuer was asked once, at the start."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer) as keys:
            token = EC.sign(issuer.claims())
            users = {await user_of(token, keys, issuer) for _ in range(1000)}

    assert users == {"user_ada"}
    assert issuer.jwks_requests == 1


async def test_a_key_published_just_now_is_found() -> None:
    """A token of an unknown key makes the issuer be asked again, and waits for the answer."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer) as keys:
            issuer.publish(EC, NEW)
            user = await user_of(NEW.sign(issuer.claims()), keys, issuer)

    assert user == "user_ada"
    assert issuer.jwks_requests == 2


async def test_a_withdrawn_key_is_gone_with_the_next_read() -> None:
    """Its tokens are refused then, and those of the key in its place are not."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer, refresh_seconds=PAUSE_SECONDS) as keys:
            issuer.publish(NEW)
            await until(lambda: not keys.has("ec"))

            with pytest.raises(Unauthenticated) as refused:
                await user_of(EC.sign(issuer.claims()), keys, issuer)
            user = await user_of(NEW.sign(issuer.claims()), keys, issuer)

    assert refused.value.fault == "unknown_key"
    assert user == "user_ada"


@pytest.mark.parametrize(
    "changes",
    [
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
        SigningKey.rsa("short", bits=1024).to_jwk(),
    ],
)
async def test_what_is_no_public_signing_key_is_ignored(changes: dict[str, object]) -> None:
    """Keys for encryption, with a private half, secret, short or malformed; the good one beside it is still used."""
    with LocalIssuer() as issuer:
        odd = rsa_key("rsa").to_jwk(**{"kid": "odd", **changes})
        issuer.keys = [odd, EC.to_jwk()]
        async with kept_keys(issuer) as keys:
            user = await user_of(EC.sign(issuer.claims()), keys, issuer)

            assert user == "user_ada"
            assert list(keys._current()) == ["ec"]


async def test_what_is_no_key_at_all_is_ignored() -> None:
    """Numbers, lists and text among the keys."""
    with LocalIssuer() as issuer:
        issuer.keys = [7, None, [], "key", {}, EC.to_jwk()]  # type: ignore[list-item]  # what an issuer should not send
        async with kept_keys(issuer) as keys:
            assert list(keys._current()) == ["ec"]


async def test_an_algorithm_that_is_not_allowed_has_no_keys() -> None:
    """A key that could verify it is not even held."""
    with LocalIssuer(EC, rsa_key("rsa")) as issuer:
        async with kept_keys(issuer, algorithms=("ES256",)) as keys:
            with pytest.raises(Unauthenticated) as refused:
                await user_of(rsa_key("rsa").sign(issuer.claims()), keys, issuer)

    assert refused.value.fault == "algorithm"


async def test_keys_are_kept_while_the_issuer_is_away_up_to_their_age() -> None:
    """Signed-in buyers go on buying; after the age nobody can tell any more, which is not the buyer's fault."""
    clock = FakeClock()
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer, refresh_seconds=PAUSE_SECONDS, monotonic=clock.seconds) as keys:
            token = EC.sign(issuer.claims())
            issuer.go_down()
            asked = issuer.jwks_requests
            await until(lambda: issuer.jwks_requests > asked + 2)
            clock.advance(7100)
            user = await user_of(token, keys, issuer)
            clock.advance(200)
            with pytest.raises(JwksUnavailable):
                await user_of(token, keys, issuer)
            issuer.recover()
            await until(lambda: keys.has("ec"))
            later = await user_of(token, keys, issuer)

    assert (user, later) == ("user_ada", "user_ada")


@pytest.mark.parametrize("body", [b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "aaaa", "kid": "s"}]}'])
async def test_a_set_without_a_usable_key_replaces_nothing(body: bytes) -> None:
    """An issuer's blunder does not sign everybody out."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer, refresh_seconds=PAUSE_SECONDS) as keys:
            issuer.overrides = {KEYS_PATH: CannedResponse(body)}
            asked = issuer.jwks_requests
            await until(lambda: issuer.jwks_requests > asked + 1)
            user = await user_of(EC.sign(issuer.claims()), keys, issuer)

    assert user == "user_ada"


async def test_an_unknown_key_cannot_be_judged_while_the_issuer_is_away() -> None:
    """The token may be a good one of a key published since: nobody can tell now."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer) as keys:
            issuer.go_down()
            with pytest.raises(JwksUnavailable):
                await user_of(NEW.sign(issuer.claims()), keys, issuer)


async def test_keys_that_were_never_loaded_are_told_by_readiness() -> None:
    """Not ready until the first read; ready from then on, even when the keys grow old."""
    clock = FakeClock()
    with LocalIssuer(EC) as issuer:
        issuer.go_down()
        async with kept_keys(issuer, loaded=False, monotonic=clock.seconds) as keys:
            check = issuer_keys_loaded(keys)
            await until(lambda: issuer.jwks_requests > 1)
            with pytest.raises(NotReady, match="never loaded"):
                await check()
            issuer.recover()
            await until(lambda: keys.ever_loaded)
            clock.advance(1_000_000)

            await check()


async def test_the_issuer_is_asked_at_a_bounded_rate_however_many_unknown_keys_arrive() -> None:
    """A flood of invented key ids makes one request in each pause, and one at a time."""
    pause_seconds = 0.4
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer, pause_seconds=pause_seconds) as keys:
            began = time.monotonic()

            async def flood(worker: int) -> None:
                count = 0
                while time.monotonic() - began < 3 * pause_seconds:
                    count += 1
                    token = EC.sign(issuer.claims(), kid=f"invented-{worker}-{count}")
                    with pytest.raises(Unauthenticated):
                        await user_of(token, keys, issuer)

            await asyncio.gather(*(flood(worker) for worker in range(100)))
            took = time.monotonic() - began

        assert 2 <= issuer.jwks_requests <= took / pause_seconds + 2


async def test_a_token_that_its_claims_refute_asks_nobody() -> None:
    """Expired, or for somebody else: the key would not matter."""
    with LocalIssuer(EC) as issuer:
        async with kept_keys(issuer) as keys:
            for changes in ({"exp": 1}, {"aud": "another"}, {"iss": "https://another.example"}, {"sub": None}):
                with pytest.raises(Unauthenticated):
                    await user_of(NEW.sign(issuer.claims(**changes)), keys, issuer)

    assert issuer.jwks_requests == 1


async def test_only_so_many_wait_for_the_issuer() -> None:
    """Who comes when a thousand wait is not made to wait: memory is bounded, and 401 would be a guess."""
    with LocalIssuer(EC) as issuer:
        keys = JwksCache(
            JwksClient(issuer.url, issuer.keys_url, timeout_seconds=1),
            algorithms=["ES256"],
            refresh_seconds=3600,
            max_age_seconds=3600,
            monotonic=time.monotonic,
        )
        waiting = [asyncio.create_task(keys.refresh()) for _ in range(1000)]
        await until(lambda: keys._waiting == 1000)

        with pytest.raises(JwksUnavailable):
            await keys.refresh()

        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    assert keys._waiting == 0


@pytest.mark.parametrize(
    "reply",
    [
        CannedResponse(status=404),
        CannedResponse(status=500),
        CannedResponse(b'{"keys": []}', status=201),
        CannedResponse(status=302, headers={"Location": "/elsewhere"}),
        CannedResponse(b""),
        CannedResponse(b"nonsense"),
        CannedResponse(b"\xff\xfe"),
        CannedResponse(b"[]"),
        CannedResponse(b'"keys"'),
        CannedResponse(b'{"keys": {}}'),
        CannedResponse(b"[" * 100_000),
        CannedResponse(json.dumps({"keys": [], "padding": "p" * 200_000}).encode()),
        CannedResponse(gzip.compress(b'{"keys": []}'), headers={"Content-Encoding": "gzip"}),
        CannedResponse(b'{"keys": []}', delay_seconds=20),
    ],
    ids=[
        "not found",
        "broken",
        "created",
        "redirect",
        "empty",
        "nonsense",
        "binary",
        "list",
        "text",
        "keys no list",
        "nested",
        "huge",
        "compressed",
        "slow",
    ],
)
async def test_an_issuer_that_misbehaves_is_as_good_as_away(reply: CannedResponse) -> None:
    """Whatever it sends, in whatever time: one failure, within the time limit, and no redirect is followed."""
    seconds = 1 if reply.delay_seconds else 10
    with LocalIssuer(EC) as issuer:
        issuer.overrides = {KEYS_PATH: reply}

        with pytest.raises(JwksUnavailable):
            await JwksClient(issuer.url, issuer.keys_url, timeout_seconds=seconds, insecure_allowed=True).read()

    assert issuer.requested_paths == [KEYS_PATH]


@pytest.mark.parametrize(
    "document",
    [
        {"jwks_uri": "{}/keys"},
        {"issuer": "https://another.example", "jwks_uri": "{}/keys"},
        {"issuer": "{}/", "jwks_uri": "{}/keys"},
        {"issuer": "{}"},
        {"issuer": "{}", "jwks_uri": 7},
        {"issuer": "{}", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "{}", "jwks_uri": "//127.0.0.1/keys"},
        {"issuer": "{}", "jwks_uri": "http://"},
    ],
)
async def test_a_discovery_document_must_be_the_issuers_and_name_its_keys(document: dict[str, object]) -> None:
    """Else the keys could be somebody else's."""
    with LocalIssuer(EC) as issuer:
        issuer.overrides = {DISCOVERY_PATH: CannedResponse(json.dumps(document).replace("{}", issuer.url).encode())}

        with pytest.raises(JwksUnavailable):
            await JwksClient(issuer.url, None, timeout_seconds=2, insecure_allowed=True).read()

    assert issuer.requested_paths == [DISCOVERY_PATH]


async def test_an_issuer_that_is_not_there_is_away() -> None:
    """A refused connection is no other failure than the rest."""
    with LocalIssuer(EC) as gone:
        pass

    with pytest.raises(JwksUnavailable):
        await JwksClient(gone.url, gone.keys_url, timeout_seconds=2, insecure_allowed=True).read()


@pytest.mark.parametrize("discovered", [False, True])
async def test_keys_are_not_read_over_plain_http_outside_development(*, discovered: bool) -> None:
    """Who stands in between could publish keys of their own; the request is not even sent."""
    with LocalIssuer(EC) as issuer, pytest.raises(JwksUnavailable):
        await JwksClient(issuer.url, None if discovered else issuer.keys_url, timeout_seconds=2).read()

    assert issuer.requested_paths == []
