"""Builds each process of the gateway once, with explicit constructor arguments."""
