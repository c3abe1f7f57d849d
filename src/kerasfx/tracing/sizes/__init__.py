"""Free sizes while tracing."""
