"""Passes after which a graph is shorter and every number is the same."""
