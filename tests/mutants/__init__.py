"""Mutants: one patch for each guard, and the test that must fail when the guard is gone."""
