"""`holdfast`, the operator's command (ADR 42)."""
