"""Podman with its images, containers, networks and settings in a temporary folder, beside any other on this machine."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

from .leftovers import is_removed, remove_at_exit

VERSION: Final = "podman version 4.3."
"""Debian 12's. Later ones read Secrets in another form and start one pod of a Deployment only."""
NETWORK: Final = "pods"
_PROGRAMS: Final = ("bin/podman", "bin/runc", "bin/catatonit", "lib/podman/netavark", "lib/podman/aardvark-dns")
_COMMAND_SECONDS: Final = 180
# The limits are podman's own defaults where it may not raise those that it was started with.
_CONFIGURATION: Final = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""


class PodmanFailed(AssertionError):
    """A command of podman failed; the message contains its output."""


def unusable() -> str | None:
    """Return the reason why podman cannot be used here; None if it can."""
    missing = [program for program in _PROGRAMS if not (Path("/usr") / program).exists()]
    if missing:
        return f"needs {', '.join(Path(program).name for program in missing)}"
    if os.geteuid() != 0:
        return "needs root"
    found = subprocess.check_output(["podman", "--version"], text=True).strip()
    return None if found.startswith(VERSION) else f"needs {VERSION}x, not {found}"


class Podman:
    """An engine with a network. It needs root, and publishes no port: this machine reaches each pod at its address."""

    def __init__(self) -> None:
        self._folder = Path()

    def __enter__(self) -> Self:
        """Make the folder and the network."""
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-podman-"))
        remove_at_exit(self, self._remove)
        (self._folder / "containers.conf").write_text(_CONFIGURATION.format(folder=self._folder))
        self.run("network", "create", NETWORK)
        return self

    def __exit__(self, *_: object) -> None:
        """Kill and remove everything."""
        self._remove()
        is_removed(self)

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Run a command and return its output. Raises PodmanFailed."""
        ended = subprocess.run(
            self._command(*words),
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if ended.returncode:
            raise PodmanFailed(f"podman {' '.join(words)}:\n{ended.stdout}{ended.stderr[-3000:]}")
        return ended.stdout

    def load_from_docker(self, images: Iterable[str]) -> None:
        """Copy images of the Docker engine. Raises CalledProcessError."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
            subprocess.run(
                self._command("load", "--quiet"),
                env=self._environment,
                stdin=saving.stdout,
                stdout=subprocess.DEVNULL,
                timeout=_COMMAND_SECONDS,
                check=True,
            )

    def inspect(self, container: str) -> Any:
        """Return podman's description of a container."""
        return json.loads(self.run("container", "inspect", container))[0]

    def logs(self, container: str) -> str:
        """Return what a container has written to its output and to its error output."""
        return Path(self.inspect(container)["HostConfig"]["LogConfig"]["Path"]).read_text()

    def address(self, container: str) -> str:
        """Return the address of a container's pod."""
        return str(self.inspect(container)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONTAINERS_CONF": str(self._folder / "containers.conf"),
            "TMPDIR": str(self._folder),
        }

    def _command(self, *words: str) -> list[str]:
        places = [f"--{option}={self._folder / option}" for option in ("root", "runroot", "tmpdir")]
        return ["podman", *places, *words]

    def _remove(self) -> None:
        self.run("kill", "--all")  # removal alone would stop one pod after the other
        self.run("pod", "rm", "--all", "--force", "--time=0")
        self.run("network", "rm", "--force", NETWORK)
        subprocess.run(["umount", self._folder / "root" / "overlay"], capture_output=True, check=False)
        while self._folder.exists():  # the engine's own clean-up may still write there
            shutil.rmtree(self._folder, ignore_errors=True)
