"""What a saved model needs to be loaded and run: importing it registers the classes that a file may name.

Besides itself it imports `errors`, `keras_api` and what `ir` says of sizes, structures and `training`.
"""

from kerasfx.keras_api.versions import warn_if_untested
from kerasfx.runtime import functional, layers, recorded

__all__ = ["functional", "layers", "recorded", "warn_if_untested"]
