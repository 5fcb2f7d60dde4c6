"""The service under load while its servers change."""
