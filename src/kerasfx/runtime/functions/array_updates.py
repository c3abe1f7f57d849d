"""`x.at[index].set(y)` of JAX as functions, so that a recorded call can name them: `jax.Array.at.set`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAMES = "set add subtract multiply divide power min max get"


def _update(name: str) -> Callable[..., Any]:
    def update(x: Any, index: object, *values: object, **options: object) -> Any:
        import jax.numpy as jnp

        return getattr(jnp.asarray(x).at[index], name)(*values, **options)

    update.__name__ = update.__qualname__ = name
    return update


globals().update({name: _update(name) for name in NAMES.split()})
