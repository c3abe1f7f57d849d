"""The version of kerasfx."""

__version__ = "0.1.0"
