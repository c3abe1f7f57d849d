"""Faults that the suite has to notice."""
