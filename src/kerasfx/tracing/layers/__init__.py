"""Calls of layers: which are opened, which stay whole."""
