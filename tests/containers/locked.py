"""Which distributions the lock gives to a package of the workspace, without what only developers need."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker

_LOCK: Final = Path(__file__).parent.parent.parent / "uv.lock"
_IN_AN_IMAGE: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
Wanted = tuple[str, str | None]
"""A distribution's name, and one of its extras."""


def locked_distributions(package: str) -> dict[str, str]:
    """Return the version of everything that an image of this package holds, itself included."""
    packages = {each["name"]: each for each in tomllib.loads(_LOCK.read_text())["package"] if _fits(each)}
    seen: set[Wanted] = set()
    wanted: list[Wanted] = [(package, None)]
    while wanted:
        each = wanted.pop()
        if each not in seen:
            seen.add(each)
            wanted.extend(_needs(packages[each[0]], each[1]))
    return {name: packages[name]["version"] for name, _ in seen}


def _needs(package: Any, extra: str | None) -> Iterator[Wanted]:
    needed = package.get("dependencies", []) if extra is None else package["optional-dependencies"][extra]
    for each in needed:
        if "marker" not in each or Marker(each["marker"]).evaluate(dict(_IN_AN_IMAGE)):
            yield each["name"], None
            yield from ((each["name"], wanted) for wanted in each.get("extra", ()))


def _fits(package: Any) -> bool:
    """Whether this is what is installed there, where the lock has several versions of a distribution."""
    markers = package.get("resolution-markers")
    return markers is None or any(Marker(marker).evaluate(dict(_IN_AN_IMAGE)) for marker in markers)
