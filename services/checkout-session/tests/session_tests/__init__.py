"""Tests of checkout-session."""
