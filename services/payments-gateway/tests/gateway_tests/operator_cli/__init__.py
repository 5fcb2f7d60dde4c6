"""Tests of operator_cli."""
