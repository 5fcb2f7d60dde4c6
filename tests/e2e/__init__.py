"""The system as its users and operators see it. No service code is imported here."""
