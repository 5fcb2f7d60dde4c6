"""Mutual TLS in a stack: certificates, TLS proxies for the stores, and the services' settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from devstack.certificates import CertificateFolder
from devstack.ports import LOOPBACK
from devstack.readiness import grpc_is_serving
from devstack.tls_proxy import SslNegotiation, TlsProxy

GATEWAY_NAME = "payments-gateway"


class StackTls:
    """Certificates and proxies of a stack whose services and stores require client certificates."""

    def __init__(self, folder: Path) -> None:
        """Use the certificates in a folder. Missing ones are made when the proxies open."""
        self.certificates = CertificateFolder(folder)
        self._redis: TlsProxy | None = None
        self._postgres: TlsProxy | None = None

    @contextmanager
    def proxies(self, *, postgres: int, redis: int) -> Iterator[None]:
        """Run proxies for the ports of both stores."""
        self.certificates.make()
        with (
            TlsProxy(postgres, self.certificates, "postgres", negotiation=SslNegotiation.POSTGRES) as self._postgres,
            TlsProxy(redis, self.certificates, "redis") as self._redis,
        ):
            yield

    def is_serving(self, port: int) -> bool:
        """Return true if a service answers SERVING over mutual TLS."""
        return grpc_is_serving(port, self.certificates)

    def checkout_session(self, redis_url: str) -> dict[str, str]:
        """Return the settings of checkout-session for the Redis at a plaintext URL."""
        address = urlsplit(redis_url)
        encrypted = address._replace(scheme="rediss", netloc=_through(address.netloc, self._redis))
        return {"REDIS_URL": encrypted.geturl(), **self._service("checkout-session"), **self._redis_client()}

    def orders(self, database_url: str) -> dict[str, str]:
        """Return the settings of orders for the database at a plaintext URL."""
        address = urlsplit(database_url)
        query = {
            "sslmode": "verify-full",
            "sslrootcert": self.certificates.authorities,
            "sslcert": self.certificates.certificate_of("orders"),
            "sslkey": self.certificates.key_of("orders"),
        }
        encrypted = address._replace(netloc=_through(address.netloc, self._postgres), query=urlencode(query))
        return {"DATABASE_URL": encrypted.geturl(), **self._service("orders")}

    def gateway(self) -> dict[str, str]:
        """Return the settings of a gateway."""
        return {
            "TLS_CA_FILE": str(self.certificates.authorities),
            "TLS_CERT_FILE": str(self.certificates.certificate_of(GATEWAY_NAME)),
            "TLS_KEY_FILE": str(self.certificates.key_of(GATEWAY_NAME)),
        }

    def _service(self, holder: str) -> dict[str, str]:
        return {
            "TLS_CLIENT_CA_FILE": str(self.certificates.authorities),
            "TLS_CERT_FILE": str(self.certificates.certificate_of(holder)),
            "TLS_KEY_FILE": str(self.certificates.key_of(holder)),
            "TLS_CLIENT_NAMES": GATEWAY_NAME,
        }

    def _redis_client(self) -> dict[str, str]:
        return {
            "REDIS_TLS_CA_FILE": str(self.certificates.authorities),
            "REDIS_TLS_CERT_FILE": str(self.certificates.certificate_of("checkout-session")),
            "REDIS_TLS_KEY_FILE": str(self.certificates.key_of("checkout-session")),
        }


def _through(netloc: str, proxy: TlsProxy | None) -> str:
    """Return the network location of a URL with the port of the proxy."""
    if proxy is None:
        raise LookupError("the TLS proxies are not running")
    credentials, at, _address = netloc.rpartition("@")
    return f"{credentials}{at}{LOOPBACK}:{proxy.port}"
