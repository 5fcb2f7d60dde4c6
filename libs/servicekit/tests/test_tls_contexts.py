"""Contexts towards stores follow the certificates, and a renewal that fails is tried again."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devstack.certificates import CertificateFolder
from servicekit.certificates import Certificates
from servicekit.tls_contexts import ClientContexts
from servicekit.tls_files import TlsFiles

Logged = Callable[..., list[dict[str, Any]]]
HOLDER = "orders"


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """Give certificates of a test authority."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


@contextmanager
def no_free_descriptor() -> Iterator[None]:
    """Let the process open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _followed(folder: CertificateFolder, clock: Clock) -> Certificates:
    files = TlsFiles(folder.certificate_of(HOLDER), folder.key_of(HOLDER), folder.authorities)
    return Certificates("test", files, monotonic=clock)


def test_a_context_stays_until_the_certificate_is_renewed(folder: CertificateFolder) -> None:
    """So that whoever keeps connections sees by identity which are outdated."""
    clock = Clock()
    contexts = ClientContexts(_followed(folder, clock), monotonic=clock)
    first, second = contexts.current(), contexts.current()

    folder.renew()
    clock.now += 1

    assert first is second
    assert contexts.current() is not first


def test_a_renewal_that_failed_is_tried_again(folder: CertificateFolder, logged: Logged) -> None:
    """Without a free descriptor the last context stays, nobody who asks for it fails, and one line says why."""
    clock = Clock()
    certificates = _followed(folder, clock)
    contexts = ClientContexts(certificates, monotonic=clock)
    last = contexts.current()
    folder.renew()
    clock.now += 1
    certificates.current()

    with no_free_descriptor():
        meanwhile = {contexts.current(), contexts.current()}
    clock.now += 1

    assert meanwhile == {last}
    assert contexts.current() is not last
    (line,) = logged("servicekit.tls_contexts")
    assert (line["level"], line["reason"]) == ("error", "Too many open files")


def test_it_is_tried_again_once_a_second(folder: CertificateFolder) -> None:
    """Every use of a connection asks for the context; a process that is short of something is spared."""
    clock = Clock()
    certificates = _followed(folder, clock)
    contexts = ClientContexts(certificates, monotonic=clock)
    last = contexts.current()
    folder.renew()
    clock.now += 1
    certificates.current()
    with no_free_descriptor():
        contexts.current()

    clock.now += 0.9
    early = contexts.current()
    clock.now += 0.2

    assert early is last
    assert contexts.current() is not last


def test_an_authority_may_be_described_in_any_language(folder: CertificateFolder) -> None:
    """What stands between certificates is nobody's business; bundles name authorities as these write themselves."""
    clock = Clock()
    folder.authorities.write_bytes("# Tanúsítványkiadó\n".encode() + folder.authorities.read_bytes())

    context = ClientContexts(_followed(folder, clock), monotonic=clock).current()

    assert len(context.get_ca_certs()) == 1
