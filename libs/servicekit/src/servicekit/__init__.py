"""Parts that every Holdfast service needs: settings, logs, gRPC, TLS, errors, health, metrics, encryption."""
