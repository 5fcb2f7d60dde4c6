"""Tests of payments-gateway; a package of its own name, so that its modules are never taken for another service's."""
