"""The test authority and its certificates: made once, renewed when told, and readable by their owner alone."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from devstack.certificates import HOLDERS, CertificateFolder, NoAuthority


@pytest.fixture
def certs(tmp_path: Path) -> CertificateFolder:
    """Give freshly made certificates."""
    made = CertificateFolder(tmp_path / "certs")
    made.make()
    return made


def _everything(certs: CertificateFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in certs.authorities.parent.iterdir()}


def _leaf(certs: CertificateFolder, holder: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certs.certificate_of(holder).read_bytes())


def _trusted(certs: CertificateFolder) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(certs.authorities.read_bytes())


def test_everybody_gets_a_certificate_that_the_authority_vouches_for(certs: CertificateFolder) -> None:
    """For servers and for clients, in their names."""
    verifier = PolicyBuilder().store(Store(_trusted(certs)))

    for holder, names in HOLDERS.items():
        verifier.build_server_verifier(x509.DNSName(names[0])).verify(_leaf(certs, holder), [])
        verifier.build_client_verifier().verify(_leaf(certs, holder), [])


def test_nobody_else_reads_the_files(certs: CertificateFolder) -> None:
    """Private keys above all."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in certs.authorities.parent.iterdir()}

    assert modes == {0o600}
    assert stat.S_IMODE(certs.authorities.parent.stat().st_mode) == 0o700


def test_certificates_live_for_a_month(certs: CertificateFolder) -> None:
    """A copy that got away is soon worth nothing."""
    ends = {_leaf(certs, holder).not_valid_after_utc for holder in HOLDERS}

    assert all(end < datetime.now(UTC) + timedelta(days=31) for end in ends)


def test_making_them_again_changes_nothing(certs: CertificateFolder) -> None:
    """An authority that is there is never overwritten."""
    before = _everything(certs)

    certs.make()

    assert _everything(certs) == before


def test_what_is_missing_or_about_to_end_is_made_again(certs: CertificateFolder) -> None:
    """The rest stays."""
    certs.certificate_of("orders").unlink()
    certs.put("redis", certs.authority().issue("redis", ends=datetime.now(UTC) + timedelta(days=9)))
    before = _everything(certs)

    certs.make()

    after = _everything(certs)
    assert {name for name in after if after[name] != before.get(name)} == {
        "orders.pem",
        "orders.key",
        "redis.pem",
        "redis.key",
    }


def test_renewing_signs_everything_anew(certs: CertificateFolder) -> None:
    """By the same authority."""
    before = _everything(certs)

    certs.renew()

    after = _everything(certs)
    assert {name for name in after if after[name] == before[name]} == {"ca.pem", "ca.key"}


def test_an_authority_is_replaced_in_three_steps(certs: CertificateFolder) -> None:
    """At every step everything that is in use is trusted."""
    (old,) = _trusted(certs)

    certs.add_authority()
    both = _trusted(certs)
    certs.renew()
    certs.keep_newest_authority()

    assert both[1:] == [old]
    assert _trusted(certs) == both[:1]
    assert {_leaf(certs, holder).issuer for holder in HOLDERS} == {both[0].subject}
    PolicyBuilder().store(Store(both[:1])).build_client_verifier().verify(_leaf(certs, "orders"), [])


def test_there_is_nothing_to_renew_without_an_authority(tmp_path: Path) -> None:
    """And no authority appears by accident."""
    certs = CertificateFolder(tmp_path / "certs")

    with pytest.raises(NoAuthority, match="make certs"):
        certs.renew()

    assert not certs.authorities.exists()


def test_the_command_makes_and_renews_them(tmp_path: Path) -> None:
    """In the home that HOLDFAST_HOME names."""
    first, said = _command(tmp_path)
    made = _everything(CertificateFolder(tmp_path / "certs"))
    second, _ = _command(tmp_path, "--add-authority", "--renew")
    certs = CertificateFolder(tmp_path / "certs")

    assert (first, second) == (0, 0)
    assert str(tmp_path / "certs") in said
    assert len(_trusted(certs)) == 2
    assert certs.certificate_of("orders").read_bytes() != made["orders.pem"]


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    """Whoever renews before there is anything hears what to run first."""
    code, said = _command(tmp_path, "--renew")

    assert code == 1
    assert "run `make certs`" in said


def _command(home: Path, *words: str) -> tuple[int, str]:
    run = subprocess.run(
        [sys.executable, "-m", "devstack", "certs", *words],
        env={**os.environ, "HOLDFAST_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr
