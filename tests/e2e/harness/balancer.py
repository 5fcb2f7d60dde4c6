"""HAProxy in front of the gateways, which follows their readiness as an ingress follows that of pods."""

import http.client
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

from devstack import json_http
from devstack.ports import LOOPBACK
from devstack.processes import Child, Program

_REQUIRED: Final = os.environ.get("HOLDFAST_REQUIRE_HAPROXY") == "1"
_OTHER_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin")
"""Debian installs it here, where an ordinary user's PATH does not look."""
_READY_SECONDS: Final = 10.0
_HTTP_OK: Final = 200

# A gateway that says it is not ready gets no new request after 0.4 s; one that says nothing, after 1.8 s, and few until
# then: what it does not answer counts as its load (leastconn). Only a request that reached no gateway is sent to
# another, because the balancer does not know what may be repeated.
_CONFIGURATION: Final = """
global
    maxconn 2000
    log stdout format raw local0 notice
defaults
    mode http
    log global
    retries 3
    option redispatch 1
    timeout connect 1s
    timeout client 60s
    timeout http-keep-alive 60s
    timeout server 30s
    timeout check 700ms
frontend shop
    bind {address}
    default_backend gateways
backend gateways
    balance leastconn
    option httpchk GET /readyz
    default-server check inter 300ms fastinter 100ms fall 2 rise 1
{servers}
"""


def executable() -> str:
    """Return HAProxy's path. Without one, skip the test, or fail it where one is required."""
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), *_OTHER_FOLDERS]))
    if found is None and _REQUIRED:
        pytest.fail("HOLDFAST_REQUIRE_HAPROXY=1, but haproxy is not installed", pytrace=False)
    if found is None:
        pytest.skip("tests of several gateways behind a balancer need haproxy")
    return found


class Balancer(AbstractContextManager["Balancer"]):
    """One HAProxy on a port of loopback."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._address = f"{LOOPBACK}:{port}"
        self._configuration = folder / "haproxy.cfg"
        command = [executable(), "-db", "-f", str(self._configuration)]
        self._child = Child(Program("haproxy", command, folder / "haproxy.log"))

    def start(self, gateways: Sequence[str]) -> None:
        """Balance requests over those of these http URLs at which a gateway is ready."""
        servers = [f"    server gateway{n} {url.removeprefix('http://')}" for n, url in enumerate(gateways, start=1)]
        self._configuration.write_text(_CONFIGURATION.format(address=self._address, servers="\n".join(servers)))
        self._child.start()

    def await_ready(self) -> None:
        """Wait until it sends requests to a gateway."""
        self._child.wait_until(self._serves, seconds=_READY_SECONDS)

    def _serves(self) -> bool:
        try:
            return json_http.send("GET", f"{self.url}/livez", seconds=1.0).status == _HTTP_OK
        except (OSError, http.client.HTTPException):
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._child.stop()
