"""What PyTorch does in place, as functions that leave their arguments alone. Imports no backend."""

from __future__ import annotations

from typing import Any


def set_item(x: Any, key: object, value: object) -> Any:
    """What the tensor `x` is after `x[key] = value`."""
    result = x.clone()
    result[key] = value
    return result
