"""Tokens of an OIDC issuer at the HTTP edge: real keys, a real issuer, a real server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import REGISTRY

from devstack.local_issuer import LocalIssuer, SigningKey

from ..assembly import Gateway, until
from ..http_edge import INITIATE, Answer, Edge, get, post, served
from ..samples import checkout_json
from ..signing import PAUSE_SECONDS, by_hand, kept_keys, rsa_key, rules_of, signed_with_secret

EC = SigningKey.ec("ec")
RSA = rsa_key("rsa")
STRANGER = SigningKey("ec", "ES256", SigningKey.ec("ec").private)
"""Has the id of the issuer's key, and is another key."""

Forgery = Callable[[LocalIssuer], str]


@asynccontextmanager
async def signed_in_by(
    issuer: LocalIssuer, gateway: Gateway, *, pause_seconds: float = PAUSE_SECONDS
) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve a gateway that takes an issuer's tokens."""
    async with (
        kept_keys(issuer, pause_seconds=pause_seconds) as keys,
        served(Edge(gateway, keys=keys, rules=rules_of(issuer))) as http,
    ):
        yield http


def refused_for(fault: str) -> float:
    """Return how many tokens this process has refused for a fault."""
    return REGISTRY.get_sample_value("tokens_refused_total", {"fault": fault}) or 0.0


async def orders_with(http: aiohttp.ClientSession, token: str) -> Answer:
    """Ask for one's orders with a token."""
    return await get(http, "/api/orders", Authorization=f"Bearer {token}")


def claimed(**changes: object) -> Forgery:
    """Sign other claims with the issuer's own key."""
    return lambda issuer: EC.sign(issuer.claims(**changes))


def headed(**headers: object) -> Forgery:
    """Sign good claims with the issuer's own key under another header."""
    return lambda issuer: EC.sign(issuer.claims(), **headers)


def unsigned(algorithm: object) -> Forgery:
    """Make a token that says it needs no signature."""
    return lambda issuer: by_hand({"alg": algorithm, "kid": "ec", "typ": "JWT"}, issuer.claims())


def confused(key: SigningKey, algorithm: str, encoding: Encoding, form: PublicFormat) -> Forgery:
    """Sign by HMAC with the public key, which everybody knows."""
    secret = key.private.public_key().public_bytes(encoding, form)
    header = {"alg": algorithm, "kid": key.key_id, "typ": "JWT"}
    return lambda issuer: signed_with_secret(header, issuer.claims(), secret)


SPKI = PublicFormat.SubjectPublicKeyInfo
FORGERIES: dict[str, dict[str, Forgery]] = {
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
        "key id is a number": lambda issuer: by_hand({"alg": "ES256", "kid": 7}, issuer.claims()),
        "key id is null": lambda issuer: by_hand({"alg": "ES256", "kid": None}, issuer.claims()),
        "unknown extension": headed(crit=["https://x.example/ext"], **{"https://x.example/ext": 1}),
        "known extension": headed(crit=["b64"], b64=True),
        "empty list of extensions": headed(crit=[]),
        "one part": lambda _issuer: "ec",
        "two parts": lambda issuer: EC.sign(issuer.claims()).rpartition(".")[0],
        "four parts": lambda issuer: EC.sign(issuer.claims()) + ".e30",
        "five parts, as encrypted ones have": lambda issuer: EC.sign(issuer.claims()) + ".e30.e30",
        "only dots": lambda _issuer: "..",
        "claims are a list": lambda _issuer: EC.sign_bytes(b"[]"),
        "claims are nested": lambda _issuer: EC.sign_bytes(b"[" * 5000),
        "claims are no text": lambda _issuer: EC.sign_bytes(b"\xff\xfe"),
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
        "issuer with a slash": lambda issuer: EC.sign(issuer.claims(iss=issuer.url + "/")),
        "issuer is a list": lambda issuer: EC.sign_bytes(json.dumps(issuer.claims(iss=[issuer.url])).encode()),
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
            f"alg {spelling!r}": unsigned(spelling)
            for spelling in cast("list[object]", ["none", "None", "NONE", "nOnE", "", " none", None, 0, []])
        },
        "no alg": lambda issuer: by_hand({"kid": "ec"}, issuer.claims()),
        "HS256 with the public key's PEM": confused(RSA, "HS256", Encoding.PEM, SPKI),
        "HS256 with the public key's DER": confused(RSA, "HS256", Encoding.DER, SPKI),
        "HS256 with the public key's PKCS1": confused(RSA, "HS256", Encoding.DER, PublicFormat.PKCS1),
        "HS256 with the public point": confused(EC, "HS256", Encoding.X962, PublicFormat.UncompressedPoint),
        "HS256 with the published key": lambda issuer: signed_with_secret(
            {"alg": "HS256", "kid": "rsa"}, issuer.claims(), json.dumps(RSA.to_jwk()).encode()
        ),
        "HS256 with nothing": lambda issuer: signed_with_secret({"alg": "HS256", "kid": "ec"}, issuer.claims(), b""),
        "RS512": lambda issuer: SigningKey("rsa", "RS512", RSA.private).sign(issuer.claims()),
    },
    "signature": {
        "RS256 named, HMAC made": confused(RSA, "RS256", Encoding.PEM, SPKI),
        "a stranger's key under a known id": lambda issuer: STRANGER.sign(issuer.claims()),
        "a key of its own": lambda issuer: STRANGER.sign(issuer.claims(), jwk=STRANGER.to_jwk()),
        "no signature": lambda issuer: EC.sign(issuer.claims()).rpartition(".")[0] + ".",
        "signature cut short": lambda issuer: EC.sign(issuer.claims())[:-2],
    },
    "unknown_key": {
        "another key's algorithm": headed(alg="ES256", kid="rsa"),
        "another algorithm of the type": lambda issuer: SigningKey("rsa", "PS256", RSA.private).sign(issuer.claims()),
        "no key id": headed(kid=None),
    },
    "extension": {
        "payload left out": lambda _issuer: by_hand({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": False}, b""),
    },
    "too_long": {
        "8 KiB and more": claimed(padding="p" * 8192),
        "64 KiB": claimed(padding="p" * 48_000),
    },
}
"""By what is wrong with them."""


@pytest.mark.parametrize(
    ("fault", "forge"),
    [pytest.param(fault, forge, id=name) for fault, kinds in FORGERIES.items() for name, forge in kinds.items()],
)
async def test_p6_a_forged_or_spoilt_token_signs_nobody_in(gateway: Gateway, fault: str, forge: Forgery) -> None:
    """401 as a problem that asks for a token and quotes none; counted by what is wrong; the issuer is not troubled."""
    counted = refused_for(fault)
    with LocalIssuer(EC, RSA) as issuer:
        async with signed_in_by(issuer, gateway) as http:
            answer = await orders_with(http, forge(issuer))

    assert (answer.status, answer.kind) == (401, "not_signed_in")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert set(answer.json) == {"type", "title", "status", "requestId"}
    assert refused_for(fault) == counted + 1
    assert gateway.wire.calls == []
    assert issuer.jwks_requests == 1


async def test_p6_a_token_of_an_unknown_key_signs_nobody_in(gateway: Gateway) -> None:
    """401 after the issuer was asked once more."""
    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:
            answer = await orders_with(http, EC.sign(issuer.claims(), kid="../../keys"))

    assert (answer.status, answer.kind) == (401, "not_signed_in")
    assert issuer.jwks_requests == 2


@pytest.mark.parametrize("header", ["jku", "x5u"])
async def test_p6_a_token_cannot_say_where_its_key_is(gateway: Gateway, header: str) -> None:
    """The address in a token's header is never asked for a key."""
    with LocalIssuer(EC) as issuer, LocalIssuer(STRANGER) as strangers:
        async with signed_in_by(issuer, gateway) as http:
            known = await orders_with(http, STRANGER.sign(issuer.claims(), **{header: strangers.keys_url}))
            unknown = await orders_with(http, STRANGER.sign(issuer.claims(), kid="x", **{header: strangers.keys_url}))

    assert [known.status, unknown.status] == [401, 401]
    assert strangers.requested_paths == []


async def test_p6_a_secret_among_the_issuers_keys_verifies_nothing(gateway: Gateway) -> None:
    """Keys are published, so a symmetric one is known to everybody."""
    secret: dict[str, object] = {
        "kty": "oct",
        "kid": "s",
        "alg": "HS256",
        "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA",
    }
    with LocalIssuer(EC) as issuer:
        issuer.keys.append(secret)
        async with signed_in_by(issuer, gateway) as http:
            token = signed_with_secret(
                {"alg": "HS256", "kid": "s"}, issuer.claims(), b"secret-secret-secret-secret-secret"
            )
            answer = await orders_with(http, token)

    assert answer.status == 401


async def test_a_bad_token_is_no_guest_with_an_issuer_either(gateway: Gateway) -> None:
    """A checkout is not begun for a guest when the buyer believes to be signed in."""
    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:
            refused = await post(http, INITIATE, checkout_json(), Authorization="Bearer nonsense")
            guest = await post(http, INITIATE, checkout_json())

    assert [refused.status, guest.status] == [401, 200]
    assert len(gateway.attempts.stored()) == 1


async def test_while_the_issuer_is_away_a_new_key_is_answered_503(gateway: Gateway) -> None:
    """With the time to wait: 401 would sign out a buyer whose token may be good. Known keys go on."""
    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:
            issuer.go_down()
            new = await orders_with(http, SigningKey.ec("new").sign(issuer.claims()))
            known = await orders_with(http, EC.sign(issuer.claims()))

    assert (new.status, new.kind, known.status) == (503, "temporarily_unavailable", 200)
    assert int(new.headers["Retry-After"]) > 0


async def test_keys_rotate_under_load_and_no_valid_token_is_refused(gateway: Gateway) -> None:
    """Each new key signs from the moment it is published, among floods of invented ones: every good token is served."""
    rotation = [SigningKey.ec("second"), rsa_key("third"), SigningKey.ed25519("fourth")]
    statuses: list[int] = []
    signer, began = EC, time.monotonic()
    done = asyncio.Event()

    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:

            async def buy() -> None:
                while not done.is_set():
                    statuses.append((await orders_with(http, signer.sign(issuer.claims()))).status)

            async def attack(worker: int) -> None:
                while not done.is_set():
                    assert (await orders_with(http, STRANGER.sign(issuer.claims(), kid=f"x{worker}"))).status == 401

            def enough_after(before: int) -> bool:
                return len(statuses) >= before + 40

            async with asyncio.TaskGroup() as crowd:
                for worker in range(4):
                    crowd.create_task(buy())
                    crowd.create_task(attack(worker))
                for key in rotation:
                    issuer.publish(signer, key)
                    signer = key
                    await until(partial(enough_after, len(statuses)), seconds=60)
                done.set()
            took = time.monotonic() - began

        assert set(statuses) == {200}
        assert issuer.jwks_requests <= took / PAUSE_SECONDS + 2


async def test_a_retired_keys_tokens_end_with_the_keys_life(gateway: Gateway) -> None:
    """Good until the keys are read again, refused from then on."""
    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:
            token, successor = EC.sign(issuer.claims()), SigningKey.ec("second")
            issuer.publish(successor)
            before = await orders_with(http, token)
            await orders_with(http, successor.sign(issuer.claims()))
            after = await orders_with(http, token)

    assert [before.status, after.status] == [200, 401]


async def test_refused_tokens_are_counted_by_what_is_wrong(gateway: Gateway) -> None:
    """By a word, never by the token's content."""
    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:
            for forge in (claimed(exp=1), claimed(aud="canary-audience"), unsigned("none"), claimed(sub="canary\n")):
                await orders_with(http, forge(issuer))
            metrics = (await get(http, "/metrics")).text

    for fault in ("expired", "audience", "algorithm", "subject"):
        assert f'tokens_refused_total{{fault="{fault}"}}' in metrics
    assert "canary" not in metrics


async def test_p6_another_users_things_are_not_found(gateway: Gateway) -> None:
    """Attempt, its completion, order and supersedes: 404 for another user and for a guest."""
    theirs = gateway.stored_attempt(user_id="user_ada")
    with LocalIssuer(EC) as issuer:
        async with signed_in_by(issuer, gateway) as http:

            def authorization(user_id: str) -> dict[str, str]:
                return {"Authorization": f"Bearer {EC.sign(issuer.claims(user_id))}"}

            return_body = {"checkoutAttemptId": theirs.attempt_id, "paymentIntentId": theirs.intent.id}
            answers = []
            for who in (authorization("user_bob"), {}):
                answers += [
                    await get(http, f"/api/checkout/{theirs.attempt_id}", **who),
                    await post(http, "/api/orders", return_body, **who),
                    await post(http, INITIATE, checkout_json(supersedes=theirs.attempt_id), **who),
                ]
            gateway.intents.pay(theirs.intent)
            own = await post(http, "/api/orders", return_body, **authorization("user_ada"))
            order_id = own.json["order"]["id"]
            others_order = await get(http, f"/api/orders/{order_id}", **authorization("user_bob"))
            own_order = await get(http, f"/api/orders/{order_id}", **authorization("user_ada"))

    assert {(answer.status, answer.kind) for answer in answers} == {(404, "checkout_not_found")}
    assert (others_order.status, others_order.kind) == (404, "order_not_found")
    assert (own.status, own_order.status) == (200, 200)
