"""Tests of the store on Redis."""
