"""The catalogue: each entry names a guard, the edits that remove it, and the assertion that must then fail.

An entry is a table of `catalogue/*.toml`. Its edits name a module and a scope by qualified name, or another file by
path; `find` must occur once in there. Neither line numbers nor surrounding lines matter.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path("tests/mutants/catalogue")
_KEYS: Final = {"guard", "promise", "test", "fails_with", "module", "file", "scope", "find", "replace", "edit"}
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
        """Locate the edited file. Raises EntryInvalid."""
        if self.file:
            found = [tree / self.file] if (tree / self.file).is_file() else []
        else:
            name = f"*/*/src/{self.module.replace('.', '/')}"
            found = [*tree.glob(f"{name}.py"), *tree.glob(f"{name}/__init__.py")]
        if len(found) != 1:
            raise EntryInvalid(f"{len(found)} files are {self.file or self.module}")
        return found[0]

    def applied(self, source: str) -> str:
        """Return the source with the replacement made. Raises EntryInvalid."""
        start, end = _span(source, self.scope)
        places = list(_occurrences(source[start:end], self.find))
        if len(places) != 1:
            raise EntryInvalid(f"found {len(places)} times in {self.scope or 'the file'}: {self.find!r}")
        at, indent = places[0]
        stop = start + at + len(_indented(self.find, indent))
        return source[: start + at] + _indented(self.replace, indent) + source[stop:]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, the edits that remove it, and the failure that shows its absence."""

    name: str
    guard: str
    promise: str
    test: str
    fails_with: str
    edits: tuple[Edit, ...]

    def mutated(self, tree: Path) -> dict[Path, str]:
        """Return the new text of each edited file. Raises EntryInvalid where an edit does not apply."""
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = edit.path(tree)
            before = texts.get(path) or path.read_text()
            texts[path] = edit.applied(before)
            if path.suffix == ".py":
                compile(texts[path], str(path), "exec")
        if any(text == path.read_text() for path, text in texts.items()):
            raise EntryInvalid("an edit changes nothing")
        return texts

    def require_test(self, tree: Path) -> None:
        """Raise EntryInvalid where the named test does not exist."""
        file, *names = self.test.partition("[")[0].split("::")
        if not (tree / file).is_file():
            raise EntryInvalid(f"no file {file}")
        if ".".join(names) not in (name for name, _ in _named(ast.parse((tree / file).read_text()))):
            raise EntryInvalid(f"no test {'::'.join(names)} in {file}")


def read_catalogue(folder: Path) -> list[Mutant]:
    """Read every file of the folder. Raises EntryInvalid."""
    mutants: dict[str, Mutant] = {}
    for file in sorted(folder.glob("*.toml")):
        for name, entry in tomllib.loads(file.read_text()).items():
            if name in mutants:
                raise EntryInvalid(f"{name}: two entries have this name")
            mutants[name] = read_entry(name, entry)
    return list(mutants.values())


def read_entry(name: str, entry: dict[str, Any]) -> Mutant:
    """Read one entry. An edit inherits what it leaves out from the entry. Raises EntryInvalid."""
    edits = [{"module": "", "file": "", "scope": "", **entry, **edit} for edit in entry.get("edit", [{}])]
    unknown = {key for each in (entry, *edits) for key in each} - _KEYS
    if unknown:
        raise EntryInvalid(f"{name}: unknown keys {sorted(unknown)}")
    try:
        mutant = Mutant(
            name,
            **{key: entry[key] for key in ("guard", "promise", "test", "fails_with")},
            edits=tuple(
                Edit(
                    each["module"], each["file"], each["scope"], each["find"].rstrip("\n"), each["replace"].rstrip("\n")
                )
                for each in edits
            ),
        )
    except KeyError as missing:
        raise EntryInvalid(f"{name}: {missing} is missing") from None
    if not _PROMISE.fullmatch(mutant.promise):
        raise EntryInvalid(f"{name}: promise must be P1 to P7, an ADR, or none")
    if not mutant.fails_with:
        raise EntryInvalid(f"{name}: fails_with is empty")
    return mutant


def _span(source: str, scope: str) -> tuple[int, int]:
    """Return where the scope begins and ends in the source, decorators included."""
    if not scope:
        return 0, len(source)
    nodes = [node for name, node in _named(ast.parse(source)) if name == scope]
    if len(nodes) != 1:
        raise EntryInvalid(f"{len(nodes)} scopes are named {scope}")
    (node,) = nodes
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    lines = source.splitlines(keepends=True)
    return len("".join(lines[: first - 1])), len("".join(lines[: node.end_lineno]))


def _named(parent: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield every class, function and assigned name below the parent, with its qualified name."""
    for node in ast.iter_child_nodes(parent):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, node
                yield from _named(node, f"{prefix}{name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node
            case ast.stmt() | ast.excepthandler() | ast.match_case():
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
