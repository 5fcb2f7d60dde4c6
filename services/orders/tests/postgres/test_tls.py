"""PostgreSQL over mutual TLS: the server is verified by name, and renewed certificates are used."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from devstack.certificates import Authority, CertificateFolder
from devstack.tls_proxy import SslNegotiation, TlsProxy
from orders.postgres.connection import open_engine, translate_errors
from orders.postgres.migrate import upgrade
from orders.usecases.unit_of_work import DatabaseUnavailable
from tests.containers.choice import PostgresServer

from ..builders import purchase
from ..service import Client, served, serving, settings_for, until

HOLDER = "orders"
Encrypted = Callable[[str], str]


@pytest.fixture
def certs(tmp_path: Path) -> CertificateFolder:
    """Issue certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@pytest.fixture
def proxy(postgres: PostgresServer, certs: CertificateFolder) -> Iterator[TlsProxy]:
    """Run TLS in front of PostgreSQL, which is built without."""
    with TlsProxy(postgres.port, certs, "postgres", negotiation=SslNegotiation.POSTGRES) as opened:
        yield opened


@pytest.fixture
def encrypted(proxy: TlsProxy, certs: CertificateFolder) -> Encrypted:
    """Change a database's plaintext URL into one through the proxy."""

    def change(url: str) -> str:
        address = urlsplit(url)
        netloc = address.netloc.replace(f":{address.port}", f":{proxy.port}")
        files = f"sslrootcert={certs.authorities}&sslcert={certs.certificate_of(HOLDER)}&sslkey={certs.key_of(HOLDER)}"
        return address._replace(netloc=netloc, query=f"sslmode=verify-full&{files}").geturl()

    return change


async def test_the_schema_is_migrated_and_purchases_are_recorded_over_tls(
    empty_database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """The server gets the client's certificate in every connection."""
    await upgrade(encrypted(empty_database_url))
    async with served(encrypted(empty_database_url)) as channel:
        await until(lambda: serving(channel))
        recorded = await Client(channel).RecordPurchase(purchase())

    assert recorded.decision.purchase.order.number
    assert set(proxy.client_serials) == {_serial(certs)}


@pytest.mark.parametrize("fault", ["other-name", "other-authority", "no-tls"])
async def test_p7_a_server_that_is_not_verified_gets_nothing(
    database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted, fault: str
) -> None:
    """Not even the password."""
    url = encrypted(database_url)
    if fault == "no-tls":
        url = url.replace(f":{proxy.port}/", f":{urlsplit(database_url).port}/")
    authority = Authority() if fault == "other-authority" else certs.authority()
    names = ["postgres.elsewhere.example" if fault == "other-name" else "127.0.0.1"]
    certs.put("postgres", authority.issue("postgres", names))

    async with _opened_engine(url) as engine:
        with pytest.raises(DatabaseUnavailable):
            await _query(engine)

    assert proxy.client_serials == []


async def test_pooled_connections_are_replaced_after_a_renewal(
    database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """No connection that was opened with the earlier certificate is used any more."""
    async with _opened_engine(encrypted(database_url)) as engine:
        await _query(engine)
        await _query(engine)
        before = _serial(certs)
        certs.renew()

        async def renewed() -> bool:
            await _query(engine)
            return _serial(certs) in proxy.client_serials

        await until(renewed)
        await _query(engine)

    assert proxy.client_serials == [before, _serial(certs)]


@asynccontextmanager
async def _opened_engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url, settings_for(url).limits)
    try:
        yield engine
    finally:
        await engine.dispose()


async def _query(engine: AsyncEngine) -> None:
    with translate_errors():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


def _serial(certs: CertificateFolder) -> str:
    certificate = x509.load_pem_x509_certificate(certs.certificate_of(HOLDER).read_bytes())
    digits = f"{certificate.serial_number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
