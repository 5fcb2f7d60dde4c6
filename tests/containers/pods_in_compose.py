"""The pods of an overlay of deploy/k8s as services of Compose, because no Kubernetes runs here.

A container gets exactly the command, environment, user, read-only root, limits and volumes of its manifest, and a name
resolves to every replica, as that of a headless Service does. All start at once and restart until they can run. A
kubelet's HTTP probe becomes a health check from inside.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tests.containers.compose_project import docker
from tests.deploy.rendering import Resource, Workload, environment, workloads

PUBLISHED: Final = ("payments-gateway", "stripe-simulator")
"""Workloads that the shop's frontend reaches, on each replica's own loopback port."""
_HTTP_PROBE: Final = """
import socket
server = socket.create_connection(("127.0.0.1", {port}), {seconds})
server.sendall(b"GET {path} HTTP/1.0\\r\\n\\r\\n")
raise SystemExit(b" 200 " not in server.recv(64))
"""
_BYTES: Final = {"Mi": 2**20, "Gi": 2**30}
_POSTGRES: Final = "postgres"
"""Its user is 999 in the official image and another number in other builds, and initdb wants one that has a name."""


def compose_file(overlay: str) -> dict[str, Any]:
    """Return the Compose file of an overlay."""
    return {"services": {name: _service(overlay, each) for name, each in workloads(overlay).items()}}


def replicas(overlay: str, name: str) -> int:
    """Return how many pods of a workload the overlay asks for."""
    return int(workloads(overlay)[name].resource["spec"].get("replicas", 1))


def _service(overlay: str, workload: Workload) -> dict[str, Any]:
    pod, container = workload.pod, workload.container
    security, limits = container["securityContext"], container["resources"]["limits"]
    user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    if workload.name == _POSTGRES:
        user = group = docker("run", "--rm", "--entrypoint=id", container["image"], "-u", _POSTGRES).strip()
    is_job = workload.resource["kind"] == "Job"
    return {
        "image": container["image"],
        "entrypoint": _escaped(container["command"]) if "command" in container else None,
        "environment": {name: value.replace("$", "$$") for name, value in environment(overlay, workload).items()},
        "user": f"{user}:{group}",
        "read_only": security["readOnlyRootFilesystem"],
        "cap_drop": security["capabilities"]["drop"],
        "security_opt": [f"no-new-privileges:{str(not security['allowPrivilegeEscalation']).lower()}"],
        "mem_limit": int(limits["memory"][:-2]) * _BYTES[limits["memory"][-2:]],
        "cpus": str(Decimal(limits["cpu"])),
        "tmpfs": [f"{path}:uid={user},gid={group}" for path in workload.mounts()],
        "restart": "on-failure" if is_job else "always",
        "stop_grace_period": f"{pod.get('terminationGracePeriodSeconds', 30)}s",
        "deploy": {"replicas": replicas(overlay, workload.name)},
        "healthcheck": {"disable": True} if is_job else _health_check(workload, container["readinessProbe"]),
        "ports": [f"127.0.0.1::{port}" for port in workload.ports.values() if workload.name in PUBLISHED],
    }


def _health_check(workload: Workload, probe: Resource) -> Mapping[str, Any]:
    seconds = probe.get("timeoutSeconds", 1)
    if "exec" in probe:
        test = _escaped(probe["exec"]["command"])
    else:
        port = workload.ports[probe["httpGet"]["port"]]
        test = ["python", "-ISc", _HTTP_PROBE.format(port=port, path=probe["httpGet"]["path"], seconds=seconds)]
    # An interpreter takes longer to start than a kubelet takes to ask.
    return {"test": ["CMD", *test], "interval": f"{probe['periodSeconds']}s", "timeout": "10s", "retries": 60}


def _escaped(words: list[str]) -> list[str]:
    """Return words in which Compose replaces nothing."""
    return [word.replace("$", "$$") for word in words]
