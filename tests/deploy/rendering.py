"""Rendered manifests of deploy/, and what the tests ask of them."""

import subprocess
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped] # PyYAML ships no types

ROOT: Final = Path(__file__).parent.parent.parent
TOOLS: Final = ROOT / ".tools" / "manifests" / "bin"
OVERLAYS: Final = tuple(sorted(path.name for path in (ROOT / "deploy/k8s/overlays").iterdir()))
OURS: Final = ("checkout-session", "orders", "orders-migrate", "payments-gateway", "reconciler")
_WITH_PODS: Final = ("Deployment", "Job")

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class Workload:
    """A Deployment or Job with its one container."""

    name: str
    resource: Resource

    @property
    def template(self) -> Resource:
        """Template of its pods."""
        template: Resource = self.resource["spec"]["template"]
        return template

    @property
    def pod(self) -> Resource:
        """Specification of its pods."""
        pod: Resource = self.template["spec"]
        return pod

    @property
    def container(self) -> Resource:
        """The pod's only container."""
        (container,) = self.pod["containers"]
        found: Resource = container
        return found

    @property
    def env(self) -> Sequence[Resource]:
        """Environment as written: each with a value, or a reference to a Secret."""
        return tuple(self.container.get("env", ()))

    @property
    def values(self) -> dict[str, str]:
        """Variables that have a value in the manifest."""
        return {each["name"]: each["value"] for each in self.env if "value" in each}

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its pods."""
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def ports(self) -> dict[str, int]:
        """Ports of the container by name."""
        return {each["name"]: each["containerPort"] for each in self.container.get("ports", ())}

    def mounts(self) -> dict[str, str]:
        """Return the mounted volumes' names by path."""
        return {each["mountPath"]: each["name"] for each in self.container.get("volumeMounts", ())}


@cache
def render(overlay: str) -> str:
    """Return what kustomize renders."""
    return run("kubectl", "kustomize", f"deploy/k8s/overlays/{overlay}")


def run(tool: str, *words: str) -> str:
    """Run a tool of `make manifests` and return its output. Raises AssertionError with its messages."""
    ended = subprocess.run([TOOLS / tool, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@cache
def resources(overlay: str) -> tuple[Resource, ...]:
    """Return the resources of an overlay."""
    return tuple(yaml.safe_load_all(render(overlay)))


def of_kind(overlay: str, *kinds: str) -> Iterator[Resource]:
    """Yield the resources of some kinds."""
    return (each for each in resources(overlay) if each["kind"] in kinds)


def workloads(overlay: str) -> dict[str, Workload]:
    """Return the workloads of an overlay by the name that their pods' label has."""
    found = (Workload(_name(each), each) for each in of_kind(overlay, *_WITH_PODS))
    return {each.name: each for each in found}


def environment(overlay: str, workload: Workload) -> dict[str, str]:
    """Return a workload's variables, with the values of the Secrets that the overlay makes."""
    made = {each["metadata"]["name"]: each["data"] for each in of_kind(overlay, "Secret")}
    references = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in workload.env
        if "secretKeyRef" in each.get("valueFrom", ())
    }
    secret = {
        name: b64decode(made[reference["name"]][reference["key"]]).decode()
        for name, reference in references.items()
        if reference["name"] in made
    }
    return workload.values | secret


def _name(resource: Resource) -> str:
    name: str = resource["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
    return name


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return True if labels have all of a selector's."""
    return selector.items() <= labels.items()
