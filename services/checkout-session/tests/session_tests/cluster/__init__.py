"""Tests of Redis Cluster."""
