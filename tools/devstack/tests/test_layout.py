import stat
from pathlib import Path

import pytest

from devstack.layout import AlreadyRunning, Home, encryption_keys, home_from


def test_lives_in_the_checkout(tmp_path: Path) -> None:
    """Started anywhere in a checkout, a stack finds the same home."""
    (tmp_path / "uv.lock").touch()
    (tmp_path / "docs" / "adr").mkdir(parents=True)

    assert home_from({}, tmp_path / "docs" / "adr") == Home(tmp_path / ".holdfast")


def test_can_be_moved(tmp_path: Path) -> None:
    """HOLDFAST_HOME wins over the checkout."""
    assert home_from({"HOLDFAST_HOME": str(tmp_path)}, Path("/")) == Home(tmp_path)


def test_two_stacks_do_not_share_a_home(tmp_path: Path) -> None:
    """The second one says who is there and what to do, and touches nothing."""
    home = Home(tmp_path / ".holdfast")

    with home.lock(), pytest.raises(AlreadyRunning, match="running here already"), home.lock():
        pass


def test_a_home_is_free_again_afterwards(tmp_path: Path) -> None:
    """The lock ends with its holder, whatever the lock file says."""
    home = Home(tmp_path / ".holdfast")
    with home.lock():
        pass

    with home.lock():
        held = True

    assert held


def test_secrets_stay_the_same_from_run_to_run(tmp_path: Path) -> None:
    """A token minted yesterday still works; different secrets differ."""
    home = Home(tmp_path)
    first = home.persistent_secret("jwt")

    again, other = home.persistent_secret("jwt"), home.persistent_secret("attempt-id")

    assert first == again
    assert first != other
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_encryption_keys_stay_the_same_and_differ_by_service(tmp_path: Path) -> None:
    """What is stored today is read tomorrow, and a service cannot read another's."""
    home = Home(tmp_path)
    first = encryption_keys(home, "orders")

    again, other = encryption_keys(home, "orders"), encryption_keys(home, "checkout-session")

    assert first == again
    assert first != other
