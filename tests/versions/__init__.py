"""Releases beside each other."""
