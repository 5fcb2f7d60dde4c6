"""The history of the schema; `orders migrate` runs it."""
