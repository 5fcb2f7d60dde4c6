"""Attempt store on Redis or Valkey."""
