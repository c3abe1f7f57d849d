"""Branches, loops and functions that take functions."""
