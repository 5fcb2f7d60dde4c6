"""Mutants: every guard in turn is removed from the code, and the test that guards it must fail as expected."""
