"""Owner of what was bought."""
