"""Operator's commands."""
