"""Tests of checkout."""
