"""What the result takes over from the original."""
