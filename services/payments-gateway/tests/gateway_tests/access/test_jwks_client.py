import gzip
import json

import pytest

from devstack.local_issuer import DISCOVERY_PATH, KEYS_PATH, CannedResponse, LocalIssuer, SigningKey
from payments_gateway.access.jwks_cache import JwksUnavailable
from payments_gateway.access.jwks_client import JwksClient

EC = SigningKey.ec("ec")


def client(issuer: LocalIssuer, *, discovered: bool = False, timeout_seconds: float = 10) -> JwksClient:
    """Return a client of an issuer on loopback."""
    jwks_url = None if discovered else issuer.keys_url
    return JwksClient(issuer.url, jwks_url, timeout_seconds=timeout_seconds, insecure_allowed=True)


@pytest.mark.parametrize(("discovered", "paths"), [(False, [KEYS_PATH]), (True, [DISCOVERY_PATH, KEYS_PATH])])
async def test_the_keys_are_read(*, discovered: bool, paths: list[str]) -> None:
    """From the address that is set, or from the one in the discovery document."""
    with LocalIssuer(EC) as issuer:
        keys = await client(issuer, discovered=discovered).read()

    assert keys == [EC.to_jwk()]
    assert issuer.requested_paths == paths


MISBEHAVIOUR = {
    "not found": CannedResponse(status=404),
    "broken": CannedResponse(status=500),
    "created": CannedResponse(b'{"keys": []}', status=201),
    "redirect": CannedResponse(status=302, headers={"Location": "/elsewhere"}),
    "empty": CannedResponse(b""),
    "nonsense": CannedResponse(b"nonsense"),
    "binary": CannedResponse(b"\xff\xfe"),
    "list": CannedResponse(b"[]"),
    "text": CannedResponse(b'"keys"'),
    "keys no list": CannedResponse(b'{"keys": {}}'),
    "nested": CannedResponse(b"[" * 100_000),
    "huge": CannedResponse(json.dumps({"keys": [], "padding": "p" * 200_000}).encode()),
    "compressed": CannedResponse(gzip.compress(b'{"keys": []}'), headers={"Content-Encoding": "gzip"}),
    "slow": CannedResponse(b'{"keys": []}', delay_seconds=20),
}


@pytest.mark.parametrize("response", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
async def test_an_issuer_that_misbehaves_is_unavailable(response: CannedResponse) -> None:
    """One failure within the time limit, and no redirect is followed."""
    with LocalIssuer(EC) as issuer:
        issuer.overrides = {KEYS_PATH: response}

        with pytest.raises(JwksUnavailable):
            await client(issuer, timeout_seconds=1 if response.delay_seconds else 10).read()

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
    """Else the keys could be another issuer's."""
    with LocalIssuer(EC) as issuer:
        issuer.overrides = {DISCOVERY_PATH: CannedResponse(json.dumps(document).replace("{}", issuer.url).encode())}

        with pytest.raises(JwksUnavailable):
            await client(issuer, discovered=True).read()

    assert issuer.requested_paths == [DISCOVERY_PATH]


async def test_a_refused_connection_is_unavailable() -> None:
    """Like any other failure."""
    with LocalIssuer(EC) as gone:
        pass

    with pytest.raises(JwksUnavailable):
        await client(gone).read()


@pytest.mark.parametrize("discovered", [False, True])
async def test_keys_are_not_read_over_plain_http_outside_development(*, discovered: bool) -> None:
    """A man in the middle could publish keys; the request is not even sent."""
    with LocalIssuer(EC) as issuer, pytest.raises(JwksUnavailable):
        await JwksClient(issuer.url, None if discovered else issuer.keys_url, timeout_seconds=2).read()

    assert issuer.requested_paths == []
