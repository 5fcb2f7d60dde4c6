from pathlib import Path

import pytest

from tests.mutants.__main__ import judge, why_survived
from tests.mutants.catalogue import Edit, EntryInvalid, Mutant

CODE = """
class Till:
    def total(self) -> int:
        paid = 2
        if paid < 3:
            return paid
        return 3


def total() -> int:
    return 3
"""
TESTS = """
from till import Till


def test_the_total():
    assert Till().total() == 2
"""


def replacement(find: str, replace: str, scope: str = "Till.total") -> Edit:
    """Build an edit of the module `till`."""
    return Edit("till", "", scope, find, replace)


def test_an_edit_keeps_to_its_scope_and_indentation() -> None:
    """The same words elsewhere stay, and further lines are indented as the first one."""
    edit = replacement("if paid < 3:\n    return paid", "if paid < 4:\n    return 4")

    assert edit.applied(CODE) == CODE.replace("paid < 3", "paid < 4").replace("return paid", "return 4")
    assert replacement("3", "4", "total").applied(CODE) == CODE[:-2] + "4\n"


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (replacement("3", "4"), "found 2 times in Till.total"),
        (replacement("paid < 4", ""), "found 0 times in Till.total"),
        (replacement("3", "4", "Till.sum"), "0 scopes are named Till.sum"),
        (replacement("3", "4", "paid"), "0 scopes are named paid"),
    ],
)
def test_an_edit_that_does_not_apply_is_refused(edit: Edit, why: str) -> None:
    """Its text is not there exactly once, or its scope is gone."""
    with pytest.raises(EntryInvalid, match=why):
        edit.applied(CODE)


@pytest.mark.parametrize(("mutation", "caught"), [("1", True), ("1 + None", False)])
def test_a_crash_on_the_line_of_the_assertion_is_no_catch(tmp_path: Path, mutation: str, *, caught: bool) -> None:
    """The mutated code must answer, and the test must find the answer wrong."""
    tree = tmp_path / "tree"
    (tree / "libs/till/src").mkdir(parents=True)
    (tree / "libs/till/src/till.py").write_text(CODE)
    (tree / "test_till.py").write_text(TESTS)
    edit = replacement("= 2", f"= {mutation}")
    mutant = Mutant("m", "g", "none", "test_till.py::test_the_total", "assert Till().total() == 2", (edit,))

    why = why_survived(mutant, tree, tmp_path / "copy")

    assert (why == "") is caught


@pytest.mark.parametrize(
    ("fails_with", "why"),
    [
        ("assert answer.status == 404", "the test failed, but not with"),
        ("assert answer.status == 409", "the mutated code seems to have crashed (500)"),
        ("assert 500 == 409", ""),
    ],
)
def test_another_failure_is_no_catch(fails_with: str, why: str) -> None:
    """A 500 differs from every expected status, whichever guard was removed; an entry may expect it by its words."""
    verdict = judge(fails_with, "assert 500 == 409", ">       assert answer.status == 409")

    assert verdict.startswith(why)
    assert bool(verdict) == bool(why)
