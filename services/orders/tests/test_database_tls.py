"""PostgreSQL over mutual TLS: verified by name, and certificates are followed as they change."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from devstack.certificates import Authority, CertificateFolder
from devstack.tls_proxy import SslNegotiation, TlsProxy
from orders.postgres.connection import named_failures, open_engine
from orders.postgres.migrate import upgrade
from orders.usecases.unit_of_work import DatabaseUnavailable
from servicekit.certificates import CertificateUnusable
from tests.containers.choice import PostgresServer

from .reports import purchase
from .service import Client, served, serving, settings_for, until

HOLDER = "orders"
Encrypted = Callable[..., str]


@pytest.fixture
def certs(tmp_path: Path) -> CertificateFolder:
    """Give certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@pytest.fixture
def proxy(postgres: PostgresServer, certs: CertificateFolder) -> Iterator[TlsProxy]:
    """Stand in front of PostgreSQL and speak TLS for it: it is built without."""
    with TlsProxy(postgres.port, certs, "postgres", negotiation=SslNegotiation.POSTGRES) as opened:
        yield opened


@pytest.fixture
def encrypted(proxy: TlsProxy, certs: CertificateFolder) -> Encrypted:
    """Turn a database's plaintext URL into one that goes through the proxy."""

    def turn(url: str, mode: str = "verify-full") -> str:
        address = urlsplit(url)
        netloc = address.netloc.replace(f":{address.port}", f":{proxy.port}")
        files = f"sslrootcert={certs.authorities}&sslcert={certs.certificate_of(HOLDER)}&sslkey={certs.key_of(HOLDER)}"
        return address._replace(netloc=netloc, query=f"sslmode={mode}&{files}").geturl()

    return turn


async def test_purchases_are_recorded_over_tls(
    database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """A server that demands a certificate is shown ours, and the service is ready."""
    async with served(settings_for(encrypted(database_url))) as channel:
        await until(lambda: serving(channel))
        recorded = await Client(channel).RecordPurchase(purchase())

    assert recorded.decision.purchase.order.number
    assert set(proxy.client_serials) == {_serial(certs)}


async def test_the_schema_is_migrated_over_tls(
    empty_database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """`orders migrate` takes the same URL."""
    await upgrade(encrypted(empty_database_url))

    assert proxy.client_serials == [_serial(certs)]


@pytest.mark.parametrize("fault", ["other-name", "other-authority", "no-tls"])
async def test_a_server_that_is_not_the_one_named_is_told_nothing(
    database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted, fault: str
) -> None:
    """A certificate for another name or of a strange authority; and no password goes to a server without TLS."""
    url = encrypted(database_url)
    engine = open_engine(url, settings_for(url).limits)
    authority = Authority() if fault == "other-authority" else certs.authority()
    names = ["postgres.elsewhere.example" if fault == "other-name" else "127.0.0.1"]
    certs.put("postgres", authority.issue("postgres", names))
    if fault == "no-tls":
        await engine.dispose()
        plain = url.replace(f":{proxy.port}/", f":{urlsplit(database_url).port}/")
        engine = open_engine(plain, settings_for(url).limits)

    with pytest.raises(DatabaseUnavailable):
        await _ask(engine)

    await engine.dispose()
    assert proxy.client_serials == []


async def test_who_speaks_plaintext_to_an_encrypted_server_gets_nothing(
    database_url: str, proxy: TlsProxy, encrypted: Encrypted
) -> None:
    """So that the tests above show what they seem to."""
    url = encrypted(database_url, "disable")
    async with _engine(url) as engine:
        with pytest.raises(DatabaseUnavailable):
            await _ask(engine)

    assert proxy.client_serials == []


async def test_connections_take_the_renewed_certificate_at_their_next_use(
    database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """The pool gives out no connection that was opened with the certificate before."""
    async with _engine(encrypted(database_url)) as engine:
        await _ask(engine)
        await _ask(engine)
        before = _serial(certs)

        certs.renew()
        deadline = time.monotonic() + 10
        while _serial(certs) not in proxy.client_serials and time.monotonic() < deadline:
            await _ask(engine)
        await _ask(engine)

    assert proxy.client_serials == [before, _serial(certs)]


async def test_a_half_replaced_pair_disturbs_no_connection(
    database_url: str, proxy: TlsProxy, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """Until the certificate has followed its key, connections are made with the last good pair."""
    async with _engine(encrypted(database_url)) as engine:
        certs.key_of(HOLDER).write_bytes(certs.authority().issue(HOLDER).key)

        await _ask(engine)

    assert proxy.client_serials == [_serial(certs)]


async def test_the_server_does_not_start_without_its_certificate(
    database_url: str, certs: CertificateFolder, encrypted: Encrypted
) -> None:
    """There is no last good one to go on with; the file is named."""
    certs.certificate_of(HOLDER).unlink()

    with pytest.raises(CertificateUnusable, match=f"{HOLDER}.pem"):
        open_engine(encrypted(database_url), settings_for(database_url).limits)


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url, settings_for(url).limits)
    try:
        yield engine
    finally:
        await engine.dispose()


async def _ask(engine: AsyncEngine) -> None:
    with named_failures():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


def _serial(certs: CertificateFolder) -> str:
    number = x509.load_pem_x509_certificate(certs.certificate_of(HOLDER).read_bytes()).serial_number
    digits: Any = f"{number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
