"""Commands beside serving: each does one thing and exits."""
