"""Check rendered manifests against the schemas of Kubernetes and of custom resources; unknown keys are errors."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

_CUSTOM: Final = json.loads((Path(sys.prefix) / "custom-resources.json").read_text())


def faults(resource: Any) -> Iterator[str]:
    """Yield what the schema of a resource's kind objects to."""
    custom = _CUSTOM.get(f"{resource['apiVersion']}/{resource['kind']}")
    if custom is not None:
        yield from (each.message for each in jsonschema.Draft202012Validator(custom).iter_errors(resource))
        return
    try:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as fault:
        yield fault.message


def main(paths: list[str]) -> int:
    """Print each fault; return 1 if there is one."""
    found = 0
    for path in paths:
        for resource in yaml.safe_load_all(Path(path).read_text()):
            for fault in faults(resource):
                found += 1
                print(f"{path}: {resource['kind']} {resource['metadata']['name']}: {fault}")  # noqa: T201 - its output
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
