"""Manifests of deploy/: what the schemas of Kubernetes do not check."""
