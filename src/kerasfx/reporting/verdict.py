"""What a comparison says in a few words, and of what it says nothing."""

from __future__ import annotations

from kerasfx.reporting.records import Data

BEFORE_REPLACING = "what was compared is the model before layers were replaced as asked"
"""A note of a comparison: the option itself changes numbers."""

PROVES_NOTHING = "all outputs are NaN or infinite: they prove nothing"
"""Another: they agree, and nobody knows whether the models do."""

BOTH, INFERENCE, TRAINING = "both", "inference", "training"


def verdict(comparison: Data | None, mode: str) -> str:
    """How equal a result is to its original, and in which modes nobody knows.

    Args:
        comparison: What `Comparison.to_dict` gave; None where nothing was compared.
        mode: The mode that the result is for.
    """
    if comparison is None or says_nothing(comparison):
        return "not compared"
    before = "before replacing as asked " if BEFORE_REPLACING in comparison["notes"] else ""
    said = f"{before}{_equality(comparison)}"
    if mode != BOTH:
        return f"{said} in {mode}, which it is for alone"
    return said if compares_training(comparison) else f"{said} in inference, not compared in training"


def says_nothing(comparison: Data) -> bool:
    """Whether nothing was found to differ, and nothing could be."""
    return comparison["equivalent"] and (not comparison["checks"] or PROVES_NOTHING in comparison["notes"])


def compares_training(comparison: Data) -> bool:
    """Whether it asked what the models do in training mode."""
    return any(check["name"].startswith(TRAINING) for check in comparison["checks"])


def _equality(comparison: Data) -> str:
    if not comparison["equivalent"]:
        return "NOT equal"
    largest = comparison["max_abs_difference"]
    if comparison["exact"] or largest is None:
        return "equal bit for bit" if comparison["exact"] else "equal within rounding"
    return f"equal within {largest:.0e}"
