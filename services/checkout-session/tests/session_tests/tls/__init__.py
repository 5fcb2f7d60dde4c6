"""Tests of TLS with Redis."""
