"""Which layers stay whole, as one node, and which are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import keras

from kerasfx.errors import UnknownSelectorError, describe
from kerasfx.ir import shown
from kerasfx.keras_api.builtins import is_whole_by_itself

Selector = type | str | Callable[[Any], bool]
"""A layer class, a pattern of paths such as `"encoder.*.rotary"`, or a predicate of a layer."""

SELECTOR = "a selector is a class, a pattern of paths or a predicate"


class WholePolicy:
    """Decides which layers stay whole.

    Args:
        leaves: Selectors of layers that stay whole.
        opened: Selectors of layers that are opened although they would stay whole.
    """

    def __init__(self, leaves: tuple[Selector, ...] = (), opened: tuple[Selector, ...] = ()):
        self._leaves = leaves
        self._opened = opened
        self.kept: dict[int, str] = {}
        self.forced_open: set[int] = set()

    @classmethod
    def of(cls, leaves: Sequence[Selector], opened: Sequence[Selector]) -> WholePolicy:
        """The policy for the arguments of `prepare_model`; a lone selector is a list of one.

        Raises:
            UnknownSelectorError: One is no selector.
        """
        policy = cls(*map(_listed, (leaves, opened)))
        for argument, selector in policy.selectors():
            if not (isinstance(selector, str) or callable(selector)):
                what = f"{argument}= holds {shown(selector)} of type {type(selector).__name__}."
                hint = f'{argument}=["encoder", MyLayer], a path and a class'
                raise UnknownSelectorError(describe(what, why=SELECTOR, hint=hint))
        return policy

    def selectors(self) -> Iterator[tuple[str, Selector]]:
        """The argument that each selector is from, and the selector."""
        yield from (("leaves", x) for x in self._leaves)
        yield from (("opened", x) for x in self._opened)

    def afresh(self) -> WholePolicy:
        """The policy as the user gave it, without what a trace has found out."""
        return WholePolicy(self._leaves, self._opened)

    def keep(self, layer: keras.Layer, reason: str) -> None:
        """Keep `layer` whole from now on, because of `reason`."""
        self.kept[id(layer)] = reason

    def stays_whole(self, layer: keras.Layer, path: str) -> bool:
        """Whether `layer` at `path` is one node."""
        # Before `opened`, which cannot help a layer whose opening has failed.
        if self.is_kept(layer, path):
            return True
        if id(layer) in self.forced_open or _selected(layer, path, self._opened):
            return False
        return is_whole_by_itself(layer)

    def is_kept(self, layer: keras.Layer, path: str) -> bool:
        """Whether `layer` has to stay whole, by request or because it could not be opened."""
        return id(layer) in self.kept or self.is_requested(layer, path)

    def is_requested(self, layer: keras.Layer, path: str) -> bool:
        """Whether the user asked for `layer` to stay whole."""
        return _selected(layer, path, self._leaves)


def _listed(selectors: Any) -> tuple[Selector, ...]:
    return tuple(selectors) if isinstance(selectors, (list, tuple, set)) else (selectors,)


def require_matches(policy: WholePolicy, layers: Sequence[tuple[str, Any]]) -> None:
    """Refuse a selector that matches none of the layers, given with their paths.

    Raises:
        UnknownSelectorError: There is one.
    """
    for argument, selector in policy.selectors():
        if isinstance(selector, keras.Layer):
            found = next((path for path, layer in layers if layer is selector), "encoder")
            raise UnknownSelectorError(
                describe(
                    f"{argument}= holds the layer '{selector.name}' itself.",
                    why=SELECTOR,
                    hint=f'{argument}=["{found}"]',
                )
            )
        if not any(_matches(layer, path, selector) for path, layer in layers):
            raise UnknownSelectorError(_matches_nothing(argument, selector, layers))


def _matches_nothing(argument: str, selector: Selector, layers: Sequence[tuple[str, Any]]) -> str:
    names = list(dict.fromkeys(type(layer).__name__ for _, layer in layers))
    paths = [path for path, _ in layers]
    if isinstance(selector, str):
        what, known = f'"{selector}"', paths
    else:
        what, known = getattr(selector, "__name__", repr(selector)), names
    word = what.strip('"')
    known = list(dict.fromkeys(known))
    nearest = get_close_matches(word, known, 5, 0.5) or [x for x in known if word.lower() in x.lower()]
    shown = ", ".join(nearest or known[:8]) or "none"
    is_class = isinstance(selector, str) and selector in names
    # `summary()` of the original shows a number that counts layers of the process, and a path has none.
    renamed = [path for path, layer in layers if layer.name == word]
    return describe(
        f"{argument}= has {what}, which matches no layer below the model.",
        why=f"the path of the layer '{word}' is '{renamed[0]}'"
        if renamed
        else f"{'the nearest are' if nearest else 'there are'}: {shown}",
        hint=f"{argument}=[{selector}] for a class, without quotes"
        if is_class
        else "correct it or leave it out; print(kerasfx.explain(model, inputs)) lists the layers",
    )


def _selected(layer: keras.Layer, path: str, selectors: tuple[Selector, ...]) -> bool:
    return any(_matches(layer, path, s) for s in selectors)


def _matches(layer: keras.Layer, path: str, selector: Selector) -> bool:
    if isinstance(selector, type):
        return isinstance(layer, selector)
    if isinstance(selector, str):
        return fnmatchcase(path, _literal_brackets(selector))
    return bool(selector(layer))


def _literal_brackets(pattern: str) -> str:
    """Let `blocks[0]` in a pattern mean itself: fnmatch reads brackets as a set of characters."""
    return pattern.replace("[", "[[]")
