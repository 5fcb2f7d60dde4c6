"""gRPC edge."""
