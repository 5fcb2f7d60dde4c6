"""Local OIDC issuer for tests: publishes keys, signs tokens, and returns faulty responses on request."""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from devstack.ports import LOOPBACK

AUDIENCE = "shop"
KEYS_PATH = "/keys"
DISCOVERY_PATH = "/.well-known/openid-configuration"
_TOKEN_SECONDS = 600
_STOP_POLL_SECONDS = 0.02
_OK = 200
_RSA_EXPONENT = 65537

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair with its id."""

    key_id: str
    algorithm: str
    private: PrivateKey = field(repr=False)

    @classmethod
    def rsa(cls, key_id: str, algorithm: str = "RS256", *, bits: int = 2048) -> Self:
        """Generate an RSA key."""
        return cls(key_id, algorithm, rsa.generate_private_key(_RSA_EXPONENT, bits))

    @classmethod
    def ec(cls, key_id: str) -> Self:
        """Generate a P-256 key."""
        return cls(key_id, "ES256", ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def ed25519(cls, key_id: str) -> Self:
        """Generate an Ed25519 key."""
        return cls(key_id, "EdDSA", ed25519.Ed25519PrivateKey.generate())

    def to_jwk(self, **changes: object) -> dict[str, object]:
        """Return the public key as a JSON Web Key. A change to None removes a member."""
        shown = self._json(self.private.public_key())
        given = {**shown, "kid": self.key_id, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in given.items() if value is not None}

    def to_private_jwk(self) -> dict[str, object]:
        """Return the private key as a JSON Web Key, which no issuer should publish."""
        return {**self._json(self.private), "kid": self.key_id}

    def _json(self, key: Any) -> dict[str, Any]:
        shown: dict[str, Any] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(key, as_dict=True)
        return {name: value for name, value in shown.items() if name != "key_ops"}

    def sign(self, claims: Mapping[str, object], **headers: object) -> str:
        """Return a token with these claims. A header of None is left out."""
        return self.sign_bytes(json.dumps(claims).encode(), **headers)

    def sign_bytes(self, claims: bytes, **headers: object) -> str:
        """Return a token with these bytes as claims, which the library would refuse to encode."""
        given = {"kid": self.key_id, **headers}
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.api_jws.encode(claims, self.private, algorithm=self.algorithm, headers=kept)


@dataclass(frozen=True, slots=True)
class CannedResponse:
    """Response that overrides a document."""

    body: bytes = b""
    status: int = _OK
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


class LocalIssuer:
    """Serves the discovery document and the keys on a free port while the context lasts."""

    def __init__(self, *keys: SigningKey, host: str = LOOPBACK) -> None:
        self.keys: list[dict[str, object]] = [key.to_jwk() for key in keys]
        """The published keys."""
        self.overrides: dict[str, CannedResponse] = {}
        """Responses by path that override the documents."""
        self.requested_paths: list[str] = []
        """Paths of the requests, in order."""
        self._stopping = threading.Event()
        self._host = host
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._serving = threading.Thread(target=self._server.serve_forever, args=(_STOP_POLL_SECONDS,), daemon=True)

    @property
    def url(self) -> str:
        """The issuer's URL, as in `iss`."""
        return f"http://{self._host}:{self._server.server_address[1]}"

    @property
    def keys_url(self) -> str:
        """URL of the published keys."""
        return self.url + KEYS_PATH

    @property
    def jwks_requests(self) -> int:
        """Number of requests for the keys."""
        return self.requested_paths.count(KEYS_PATH)

    def publish(self, *keys: SigningKey) -> None:
        """Publish only these keys."""
        self.keys = [key.to_jwk() for key in keys]

    def claims(self, user_id: object = "user_ada", **changes: object) -> dict[str, object]:
        """Return the claims of a valid token. A change to None removes a claim."""
        now = int(time.time())
        given = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": user_id,
            "iat": now,
            "exp": now + _TOKEN_SECONDS,
            **changes,
        }
        return {name: value for name, value in given.items() if value is not None}

    def __enter__(self) -> Self:
        """Start serving."""
        self._serving.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._stopping.set()
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    def _response_to(self, path: str) -> CannedResponse:
        self.requested_paths.append(path)
        if path in self.overrides:
            return self.overrides[path]
        documents: Mapping[str, object] = {
            KEYS_PATH: {"keys": self.keys},
            DISCOVERY_PATH: {"issuer": self.url, "jwks_uri": self.keys_url},
        }
        if path not in documents:
            return CannedResponse(status=404)
        return CannedResponse(json.dumps(documents[path]).encode(), headers={"Content-Type": "application/json"})

    def _handler(issuer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 — the handler below has the other self
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                response = issuer._response_to(self.path)
                issuer._stopping.wait(response.delay_seconds)
                with suppress(OSError):  # the client may have disconnected
                    self.send_response(response.status)
                    for name, value in {**response.headers, "Content-Length": str(len(response.body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(response.body)

            def log_message(self, *_words: object) -> None:
                """Stay silent."""

        return Handler
