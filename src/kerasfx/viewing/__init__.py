"""Pictures of graphs and models, and the files in which Model Explorer shows them."""

from __future__ import annotations

from kerasfx.viewing.model_explorer import to_model_explorer
from kerasfx.viewing.plotting import plot

__all__ = ["plot", "to_model_explorer"]
