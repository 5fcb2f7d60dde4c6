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


@pytest.mark.parametrize(
    ("mutation", "fails_with", "why"),
    [
        ("1 + 1", "assert Till().total() == 2", "the test passed"),
        ("1", "assert Till().total() == 2", ""),
        ("1", "assert 1 == 2", ""),
        ("0", "assert 1 == 2", "the test failed, but not with 'assert 1 == 2'"),
        ("1 + None", "assert Till().total() == 2", "the test failed, but not with 'assert Till"),
    ],
)
def test_only_the_expected_assertion_is_a_catch(tmp_path: Path, mutation: str, fails_with: str, why: str) -> None:
    """A crash of the mutated code on the line of the assertion is none."""
    tree = tmp_path / "tree"
    (tree / "libs/till/src").mkdir(parents=True)
    (tree / "libs/till/src/till.py").write_text(CODE)
    (tree / "test_till.py").write_text(TESTS)
    mutant = Mutant(
        "m", "g", "none", "test_till.py::test_the_total", fails_with, (replacement("= 2", f"= {mutation}"),)
    )

    verdict = why_survived(mutant, tree, tmp_path / "copy")

    assert verdict.startswith(why)
    assert bool(verdict) == bool(why)


def test_a_crash_behind_an_answer_is_no_catch() -> None:
    """A 500 differs from every expected status, whichever guard was removed; an entry may expect it by its words."""
    message, report = "assert 500 == 409", ">       assert answer.status == 409"

    assert "crashed (500)" in judge("assert answer.status == 409", message, report)
    assert judge("assert 500 == 409", message, report) == ""
