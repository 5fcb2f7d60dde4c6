"""Chromium, the shop as the gateway serves it, and what is watched while a test uses it."""
