"""Values, events and ports; no I/O."""
