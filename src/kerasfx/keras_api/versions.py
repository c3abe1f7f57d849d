"""The versions of Keras that kerasfx was tested with."""

from __future__ import annotations

import re
import warnings

import keras

from kerasfx.errors import UntestedKerasWarning

TESTED = ("3.14.0", "3.15.1")
"""The oldest and the newest Keras that the tests run on."""


def warn_if_untested() -> None:
    """Warn of a Keras that nobody has tried: what kerasfx replaces in it may have moved."""
    version = keras.__version__
    if not _minor(TESTED[0]) <= _minor(version) <= _minor(TESTED[1]):
        warnings.warn(
            f"kerasfx was tested with Keras {TESTED[0]} to {TESTED[1]}, and this is Keras {version}.\n"
            "  why:   it records calls inside of Keras, by names that another version may have changed\n"
            "  do:    keep verify=True, which compares each result with its original; or install "
            f'"keras<={TESTED[1]}"',
            UntestedKerasWarning,
            # Whoever imports kerasfx.
            stacklevel=3,
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
