"""Names that Keras makes up: the kind of an object, and a number that counts them in the process.

| private name | relied on for | since |
|---|---|---|
| `keras.src.utils.naming.to_snake_case` | telling a name that Keras made up | 3.0 |
"""

from __future__ import annotations

import functools
import re
from typing import Any

from keras.src.utils import naming

MODULES = {
    "kerasfx.runtime": "kerasfx.layers",
    "keras.src.layers": "keras.layers",
    "keras.src.models": "keras.models",
    "keras.src.ops": "keras.ops",
    "keras.src": "keras",
}
"""Where a class is defined -> where it is public, the narrower first."""


def public_module(cls: type) -> str:
    """The module from which a class is imported: `"keras.layers"`, or the one that defines it."""
    module = str(getattr(cls, "__module__", ""))
    return next((public for own, public in MODULES.items() if module.startswith(own)), module)


def made_up_of(named: Any) -> str:
    """What Keras calls objects of this class, without the number, if `named` is called so; else "".

    `Dense()` may be `dense_7`, and `dense_8` when the same code runs again. Whoever gives a layer such a name
    by hand cannot be told from Keras.
    """
    stem, name = _stem(type(named).__name__), str(named.name)
    number = name.removeprefix(f"{stem}_")
    return stem if name == stem or (number != name and _NUMBER.fullmatch(number)) else ""


_NUMBER = re.compile(r"\d+")


@functools.lru_cache(maxsize=2048)
def _stem(class_name: str) -> str:
    return naming.to_snake_case(class_name)
