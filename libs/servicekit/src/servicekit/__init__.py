"""What every Holdfast service needs around its own business: settings, logs, gRPC, errors, health and metrics."""
