"""Tests of stripe_api."""
