"""Tests of Sentinel."""
