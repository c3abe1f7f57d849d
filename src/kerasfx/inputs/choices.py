"""Options of the public functions: a word that is none is refused, with the one that was probably meant."""

from __future__ import annotations

from difflib import get_close_matches

from kerasfx.errors import describe


def require_one_of(**arguments: tuple[object, tuple[object, ...]]) -> None:
    """Refuse an argument, given with its choices, that is none of them.

    Raises:
        ValueError: It is none.
    """
    for name, (value, choices) in arguments.items():
        # Of an array, `==` would be an array.
        if not (isinstance(value, (str, int, type(None))) and value in choices):
            allowed = " or ".join(map(_quoted, choices))
            nearest = _nearest(name, value, choices)
            raise ValueError(describe(f"{name} must be {allowed}, not {value!r}.", hint=nearest))


def _nearest(name: str, value: object, choices: tuple[object, ...]) -> str:
    """What was probably meant, as it is typed."""
    words = [c for c in choices if isinstance(c, str)]
    found = get_close_matches(str(value).lower(), words, 1)
    return f'{name}="{found[0]}"' if found else ""


def _quoted(choice: object) -> str:
    return f'"{choice}"' if isinstance(choice, str) else str(choice)
