"""Passes that make a graph one that Keras runs as the original, or that other passes can read."""
