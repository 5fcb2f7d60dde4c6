"""Certificates are made once, renewed on request, and readable by their owner alone."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from devstack.certificates import HOLDERS, CertificateFolder


@pytest.fixture
def certs(tmp_path: Path) -> CertificateFolder:
    """Freshly made certificates."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


def _everything(certs: CertificateFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in certs.authorities.parent.iterdir()}


def _leaf(certs: CertificateFolder, holder: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certs.certificate_of(holder).read_bytes())


def _trusted(certs: CertificateFolder) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(certs.authorities.read_bytes())


def test_only_the_owner_reads_the_files(certs: CertificateFolder) -> None:
    """Files have mode 0600, their folder 0700, and the certificates end within a month."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in certs.authorities.parent.iterdir()}
    ends = {_leaf(certs, holder).not_valid_after_utc for holder in HOLDERS}

    assert modes == {0o600}
    assert stat.S_IMODE(certs.authorities.parent.stat().st_mode) == 0o700
    assert max(ends) < datetime.now(UTC) + timedelta(days=31)


def test_making_again_replaces_only_missing_and_ending_certificates(certs: CertificateFolder) -> None:
    """The authority and the certificates that are good for longer stay."""
    certs.certificate_of("orders").unlink()
    certs.put("redis", certs.authority().issue("redis", ends=datetime.now(UTC) + timedelta(days=9)))
    before = _everything(certs)

    certs.make()

    after = _everything(certs)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"orders.pem", "orders.key", "redis.pem", "redis.key"}


def test_an_authority_is_replaced_in_three_steps(certs: CertificateFolder) -> None:
    """Both authorities are trusted until every certificate is signed by the new one."""
    (old,) = _trusted(certs)

    certs.add_authority()
    both = _trusted(certs)
    certs.renew()
    certs.keep_newest_authority()

    assert both[1:] == [old]
    assert _trusted(certs) == both[:1]
    assert {_leaf(certs, holder).issuer for holder in HOLDERS} == {both[0].subject}


def test_the_command_renews_in_the_chosen_home(tmp_path: Path) -> None:
    """`devstack certs` refuses to renew where there is no authority, and says what to run first."""
    certs = CertificateFolder(tmp_path / "certs")

    early = _command(tmp_path, "--renew")
    made = _command(tmp_path)
    before = _everything(certs)
    renewed = _command(tmp_path, "--add-authority", "--renew")

    assert [early.returncode, made.returncode, renewed.returncode] == [1, 0, 0]
    assert "run `make certs`" in early.stderr
    assert str(tmp_path / "certs") in made.stdout
    assert len(_trusted(certs)) == 2
    assert certs.certificate_of("orders").read_bytes() != before["orders.pem"]


def _command(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "devstack", "certs", *words],
        env={**os.environ, "HOLDFAST_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
