"""Servers in containers for the tests: the public images, and the ones that are built here."""
