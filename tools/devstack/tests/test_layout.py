import stat
from pathlib import Path

import pytest

from devstack.layout import AlreadyRunning, Home, encryption_keys, home_from


def test_the_home_is_in_the_checkout_unless_it_is_set(tmp_path: Path) -> None:
    """HOLDFAST_HOME takes precedence over the checkout that contains the working directory."""
    (tmp_path / "uv.lock").touch()
    (tmp_path / "docs" / "adr").mkdir(parents=True)

    assert home_from({}, tmp_path / "docs" / "adr") == Home(tmp_path / ".holdfast")
    assert home_from({"HOLDFAST_HOME": "/elsewhere"}, tmp_path) == Home(Path("/elsewhere"))


def test_one_stack_at_a_time_uses_a_home(tmp_path: Path) -> None:
    """The lock is free after its holder."""
    home = Home(tmp_path / ".holdfast")

    for _ in range(2):
        with home.lock(), pytest.raises(AlreadyRunning, match="running here already"), home.lock():
            pass


def test_secrets_are_persistent(tmp_path: Path) -> None:
    """Every name and service has its own, and only the owner can read them."""
    home = Home(tmp_path)
    first = [home.persistent_secret("jwt"), encryption_keys(home, "orders")]

    again = [home.persistent_secret("jwt"), encryption_keys(home, "orders")]

    assert first == again
    assert home.persistent_secret("attempt-id") != first[0]
    assert encryption_keys(home, "checkout-session") != first[1]
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
