"""Servers in containers for the tests, and tests of the images and of Compose."""
