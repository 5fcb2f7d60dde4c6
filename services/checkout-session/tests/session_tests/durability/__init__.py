"""Tests of durability."""
