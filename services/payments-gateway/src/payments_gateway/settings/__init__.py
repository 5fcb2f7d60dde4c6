"""Settings of the gateway's processes."""
