"""The pods of an overlay of deploy/k8s by `podman kube play`: a reader of Deployments that is not ours.

Podman 4.3 reads Deployments and claims of volumes as they are rendered, but for what is done here:

- A Secret becomes podman's own: podman cannot read the form in which `kube play` stores one.
- A Service becomes an alias: its name resolves to each pod that it selects, as that of a headless one.
- A Job becomes a pod that is started anew when it fails.
- Ports are left out, because podman publishes them at the same ports of this machine, where two replicas collide.
- Volumes get the workload's name: in podman those of one name are one, also of two pods.
- A store runs as the user of its image, who is not 999 in every build. Podman has no fsGroup: a volume belongs to whom
  its folder in the image belongs to.
"""

import copy
import json
from typing import Any, Final

import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from tests.deploy.rendering import Workload, matches, of_kind, resources, workloads

from .podman import NETWORK, Podman

NOT_PLAYED: Final = {"Namespace", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"}
"""Kinds that podman does not know, and that no process needs to run."""
_STORES: Final = ("postgres", "redis")


def play(podman: Podman, overlay: str) -> None:
    """Start an overlay's pods in the order of their names, which is none that a process could rely on."""
    for resource in resources(overlay):
        match resource["kind"]:
            case "Secret":
                podman.run("secret", "create", resource["metadata"]["name"], "-", stdin=json.dumps(resource["data"]))
            case "PersistentVolumeClaim":
                podman.run("kube", "play", "-", stdin=yaml.safe_dump(resource))
            case kind:
                assert kind in NOT_PLAYED | {"Deployment", "Job", "Service"}, kind
    for workload in workloads(overlay).values():
        aliases = [
            f"alias={each['metadata']['name']}"
            for each in of_kind(overlay, "Service")
            if matches(each["spec"]["selector"], workload.labels)
        ]
        network = f"--network={NETWORK}:{','.join(aliases)}".rstrip(":")
        podman.run("kube", "play", network, "-", stdin=yaml.safe_dump(_playable(podman, workload)))


def containers(overlay: str, name: str) -> list[str]:
    """Return podman's names of a workload's containers."""
    workload = workloads(overlay)[name]
    if workload.resource["kind"] == "Job":
        return [f"{workload.resource['metadata']['name']}-{name}"]
    return [f"{name}-pod-{number}-{name}" for number in range(workload.resource["spec"]["replicas"])]


def _playable(podman: Podman, workload: Workload) -> Any:
    resource: Any = copy.deepcopy(workload.resource)
    pod = resource["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container.pop("ports", None)
    for each in (*pod.get("volumes", ()), *container.get("volumeMounts", ())):
        each["name"] = f"{workload.name}-{each['name']}"
    if workload.name in _STORES:
        for field, option in {"runAsUser": "-u", "runAsGroup": "-g"}.items():
            words = ("run", "--rm", "--network=none", "--entrypoint=id", container["image"], option, workload.name)
            pod["securityContext"][field] = int(podman.run(*words))
    if resource["kind"] == "Job":
        pod["restartPolicy"] = "OnFailure"
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": resource["metadata"]["name"]}, "spec": pod}
    return resource
