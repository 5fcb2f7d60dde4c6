"""Write the Helm chart from the production overlay: `make chart`. The manifests have one source, which is kustomize's.

Files of the chart are the rendered resources by kind. What a shop sets is taken out of them into values.yaml.
"""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent.parent
_OPTIONAL: Final = {
    "ExternalSecret": "externalSecrets.enabled",
    "PrometheusRule": "monitoring",
    "ServiceMonitor": "monitoring",
}
_MARK: Final = re.compile(r"'?@@(.+?)@@'?")
_SETTINGS: Final = re.compile(r"^( *)- '?@@settings (\S+)@@'?\n", re.MULTILINE)
_RANGE: Final = """{0}{{{{- range $name, $value := index .Values.settings "{1}" }}}}
{0}- name: {{{{ $name }}}}
{0}  value: {{{{ $value | quote }}}}
{0}{{{{- end }}}}
"""
_HOST: Final = "shop.example"
_HEAD: Final = "# Written by `make chart` from deploy/k8s/overlays/production. Change that.\n"
_VALUES: Final = "# Written by `make chart`. What a shop sets; docs/kubernetes.md explains it.\n"

Values = dict[str, Any]


def main(folder: Path) -> None:
    """Write templates and values below a folder."""
    words = [Path(sys.prefix) / "bin" / "kubectl", "kustomize", ROOT / "deploy/k8s/overlays/production"]
    rendered = subprocess.check_output(words, text=True)  # noqa: S603 - a tool of this environment
    if "{{" in rendered:
        raise SystemExit("the overlay has braces that Helm would read")
    values: Values = {
        "host": _HOST,
        "image": {},
        "monitoring": True,
        "externalSecrets": {"enabled": True},
        "settings": {},
        "resources": {},
        "maxReplicas": {},
    }
    by_kind = defaultdict(list)
    for resource in yaml.safe_load_all(rendered):
        if resource["kind"] != "Namespace":
            by_kind[resource["kind"]].append(with_values(resource, values))
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    for kind, resources in by_kind.items():
        (folder / "templates" / f"{kind.lower()}.yaml").write_text(_HEAD + template(kind, resources))
    (folder / "values.yaml").write_text(_VALUES + yaml.safe_dump(values, sort_keys=False))


def with_values(resource: Any, values: Values) -> Any:
    """Take what a shop sets out of a resource into the values, and leave marks in its place."""
    del resource["metadata"]["namespace"]  # the release's
    name = resource["metadata"]["name"]
    match resource["kind"]:
        case "Deployment":
            _process(resource, values)
        case "Job":
            _process(resource, values)
            resource["metadata"]["name"] = name.replace(values["image"]["tag"], "@@.Values.image.tag@@")
        case "ExternalSecret":
            values["externalSecrets"]["store"] = resource["spec"]["secretStoreRef"]
            resource["spec"]["secretStoreRef"] = "@@.Values.externalSecrets.store | toJson@@"
        case "HorizontalPodAutoscaler":
            values["maxReplicas"][name] = resource["spec"]["maxReplicas"]
            resource["spec"]["maxReplicas"] = f'@@index .Values.maxReplicas "{name}"@@'
        case "NetworkPolicy":
            _networks(resource, name, values)
    return resource


def _process(resource: Any, values: Values) -> None:
    (container,) = resource["spec"]["template"]["spec"]["containers"]
    name = container["name"]
    registry, _, image = container["image"].rpartition("/")
    image, _, tag = image.partition(":")
    values["image"] |= {"registry": registry, "tag": tag}
    container["image"] = f"@@.Values.image.registry@@/{image}:@@.Values.image.tag@@"
    plain = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    values["settings"][name] = plain
    container["env"] = [f"@@settings {name}@@", *(each for each in container["env"] if "value" not in each)]
    values["resources"][name] = container["resources"]
    container["resources"] = f'@@index .Values.resources "{name}" | toJson@@'


def _networks(resource: Any, name: str, values: Values) -> None:
    """Take out the network and port of a store."""
    for store in ("redis", "postgres"):
        if name.endswith(f"-to-{store}"):
            (rule,) = resource["spec"]["egress"]
            values[store] = {"cidr": rule["to"][0]["ipBlock"]["cidr"], "port": rule["ports"][0]["port"]}
            rule["to"][0]["ipBlock"]["cidr"] = f"@@.Values.{store}.cidr@@"
            rule["ports"][0]["port"] = f"@@.Values.{store}.port@@"


def template(kind: str, resources: Iterable[Any]) -> str:
    """Return resources as a template: marks become expressions."""
    text = "---\n".join(yaml.safe_dump(each, width=1000) for each in resources).replace(_HOST, "@@.Values.host@@")
    text = _MARK.sub(r"{{ \1 }}", _SETTINGS.sub(lambda found: _RANGE.format(*found.groups()), text))
    toggle = _OPTIONAL.get(kind)
    return f"{{{{- if .Values.{toggle} }}}}\n{text}{{{{- end }}}}\n" if toggle else text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
