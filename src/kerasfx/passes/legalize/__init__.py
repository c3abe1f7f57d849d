"""Passes without which a graph could not be emitted as it is."""
