"""Passes that bring a graph nearer to standard layers."""
