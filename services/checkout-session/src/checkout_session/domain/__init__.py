"""Attempts and their rules; no I/O."""
