"""The catalogue: each entry names a guard, the edits that remove it, and the assertion that must then fail.

An entry is a table in `catalogue/*.toml`. An edit names a module and a scope in it by qualified name, or another file
by its path; `find` must occur once in there. An edit inherits the keys that it leaves out from its entry.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

_PROMISE: Final = re.compile(r"P[1-7](, P[1-7])*|ADR \d+|none")


class EntryInvalid(Exception):
    """The entry is incomplete, or the code that it edits or the test that it names is not there."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of text within one scope of one file."""

    module: str
    file: str
    scope: str
    find: str
    replace: str

    def path(self, tree: Path) -> Path:
        """Locate the edited file."""
        found = list(tree.glob(self.file or f"*/*/src/{self.module.replace('.', '/')}.py"))
        if len(found) != 1:
            raise EntryInvalid(f"{len(found)} files are {self.file or self.module}")
        return found[0]

    def applied(self, source: str) -> str:
        """Return the source with the replacement made."""
        start, end = _span(source, self.scope)
        places = list(_occurrences(source[start:end], self.find))
        if len(places) != 1:
            raise EntryInvalid(f"found {len(places)} times in {self.scope or 'the file'}: {self.find!r}")
        at, indent = places[0]
        after = source[start + at + len(_indented(self.find, indent)) :]
        return source[: start + at] + _indented(self.replace, indent) + after


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, the edits that remove it, and the failure that shows its absence."""

    name: str
    guard: str
    promise: str
    test: str
    fails_with: str
    edits: tuple[Edit, ...]

    def apply(self, tree: Path, texts: dict[Path, str]) -> None:
        """Edit the files, each as `texts` has it already or else as it is in the tree."""
        for edit in self.edits:
            path = edit.path(tree)
            texts[path] = edit.applied(texts.get(path) or path.read_text())
            if path.suffix == ".py":
                compile(texts[path], path, "exec")

    def require_test(self, tree: Path) -> None:
        """Raise EntryInvalid unless the test is there and contains the assertion, itself or in a helper beside it."""
        file, *names = self.test.partition("[")[0].split("::")
        if ".".join(names) not in (name for name, _ in _named(ast.parse((tree / file).read_text()))):
            raise EntryInvalid(f"no test {'::'.join(names)} in {file}")
        expected = self.fails_with.removeprefix("DID NOT RAISE ")
        beside = (tree / file[: file.index("tests/") + 5]).rglob("*.py")
        if not any(expected in helper.read_text() for helper in beside):
            raise EntryInvalid(f"fails_with is not in the tests: {expected!r}")


def read_catalogue(folder: Path) -> list[Mutant]:
    """Read every file of the folder."""
    mutants: dict[str, Mutant] = {}
    for file in sorted(folder.glob("*.toml")):
        for name, entry in tomllib.loads(file.read_text()).items():
            if name in mutants:
                raise EntryInvalid(f"{name}: two entries have this name")
            mutants[name] = _read_entry(name, entry)
    return list(mutants.values())


def _read_entry(name: str, entry: dict[str, Any]) -> Mutant:
    head = {key: entry.pop(key, "") for key in ("guard", "promise", "test", "fails_with")}
    edits = [{"module": "", "file": "", "scope": "", **entry, **edit} for edit in entry.pop("edit", [{}])]
    if not all(head.values()) or any(edit.keys() != {key.name for key in fields(Edit)} for edit in edits):
        raise EntryInvalid(f"{name}: needs {', '.join(head)}, and in each edit module or file, scope, find, replace")
    if not _PROMISE.fullmatch(head["promise"]):
        raise EntryInvalid(f"{name}: promise must be P1 to P7, an ADR, or none")
    return Mutant(name, **head, edits=tuple(Edit(**{k: v.rstrip("\n") for k, v in edit.items()}) for edit in edits))


def _span(source: str, scope: str) -> tuple[int, int]:
    """Return where the scope begins and ends in the source, decorators included."""
    if not scope:
        return 0, len(source)
    nodes = [node for name, node in _named(ast.parse(source)) if name == scope]
    if len(nodes) != 1:
        raise EntryInvalid(f"{len(nodes)} scopes are named {scope}")
    first = min(each.lineno for each in [*nodes, *getattr(nodes[0], "decorator_list", [])])
    lines = source.splitlines(keepends=True)
    return len("".join(lines[: first - 1])), len("".join(lines[: nodes[0].end_lineno]))


def _named(parent: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield every class, function and assigned name below the parent, with its qualified name."""
    for node in ast.iter_child_nodes(parent):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, node
                yield from _named(node, f"{prefix}{name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node
            case _:
                yield from _named(node, prefix)


def _occurrences(text: str, find: str) -> Iterator[tuple[int, str]]:
    """Yield where `find` occurs, and the indentation there: its further lines are indented as its first one is."""
    for match in re.finditer(re.escape(find.partition("\n")[0]), text):
        line = text[text.rfind("\n", 0, match.start()) + 1 :]
        indent = line[: len(line) - len(line.lstrip(" "))]
        if text.startswith(_indented(find, indent), match.start()):
            yield match.start(), indent


def _indented(text: str, indent: str) -> str:
    return re.sub(r"\n(?!\n)", f"\n{indent}", text)
