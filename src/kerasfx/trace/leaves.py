"""What stays a leaf: which layers are one node and which are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import keras

from kerasfx import foreign
from kerasfx.errors import UnknownSelectorError, describe
from kerasfx.keras_internals import all_layers, module_of

Selector = type | str | Callable[[Any], bool]
"""A layer class, a pattern of paths such as `"encoder.*.rotary"`, or a predicate of a layer."""

_HARMLESS = {
    "__init__",
    "get_config",
    "from_config",
    "__doc__",
    "__module__",
    "__qualname__",
    "__annotations__",
}
_HARMLESS |= {
    "__static_attributes__",
    "__firstlineno__",
    "__classcell__",
    "__dict__",
    "__weakref__",
}


def is_builtin(cls: type) -> bool:
    """Whether `cls` is a layer class of Keras or of kerasfx that can be loaded by its name."""
    return (
        module_of(cls).startswith(("keras.src.layers.", "kerasfx.layers")) and cls is not keras.layers.Lambda
    )


def builtin_class(cls: type) -> type | None:
    """The built-in class that a layer of class `cls` behaves as, or None.

    It is `cls` itself or, for a subclass that only adds a constructor or a config, its built-in base.
    """
    for base in cls.__mro__:
        if is_builtin(base):
            return base
        if set(vars(base)) - _HARMLESS - {n for n in vars(base) if n.startswith("_abc_")}:
            return None
    return None


def is_container(layer: Any) -> bool:
    """Whether `layer` is a model: it only arranges other layers."""
    return isinstance(layer, keras.Model)


def applies_activation_last(layer: Any) -> bool:
    """Whether the result of `layer` is its activation applied to what it would give without one."""
    return isinstance(layer, ACTIVATION_LAST)


def custom_parts(layer: Any) -> list[Any]:
    """The layers inside a built-in layer (a wrapper, an RNN) that need code of the user's."""
    inside = all_layers(layer)[1:]
    return [x for x in inside if _is_custom(x) or _is_regularized(x) or foreign.activation_of(x)]


def _is_regularized(layer: Any) -> bool:
    """Whether code of other modules gives a loss for what `layer`, inside another one, returns."""
    return not foreign.is_of_keras(layer.activity_regularizer, "regularizer")


def _is_custom(layer: Any) -> bool:
    """Whether the class of `layer` is of other code; models of layers are Keras's own."""
    cls = type(layer)
    return builtin_class(cls) is None and not module_of(cls).startswith("keras.src.models.")


def how_to_save(layer: Any) -> str:
    """What the user has to do before a model with `layer` in it can be saved; "" for nothing."""
    for part in reversed(all_layers(layer)):
        try:
            part.get_config()
        except Exception as error:
            reason = " ".join(str(error).split())
            return f"give {type(part).__name__} a get_config() before saving the model: {reason}"
    return ""


def is_plain_leaf(layer: Any) -> bool:
    """Whether `layer` stays whole unless someone asks otherwise: Keras alone can load it, and it is no model.

    A layer stays whole as well if just its activation, which it applies last, is of other code.
    """
    if is_container(layer) or builtin_class(type(layer)) is None or custom_parts(layer):
        return False
    return applies_activation_last(layer) or not foreign.activation_of(layer)


ACTIVATION_LAST = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


class LeafPolicy:
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
    def of(cls, leaves: Sequence[Selector], opened: Sequence[Selector]) -> LeafPolicy:
        """The policy for the arguments of `prepare_model`; a lone selector is a list of one."""
        return cls(*map(_listed, (leaves, opened)))

    def selectors(self) -> Iterator[tuple[str, Selector]]:
        """The argument that each selector is from, and the selector."""
        yield from (("leaves", x) for x in self._leaves)
        yield from (("opened", x) for x in self._opened)

    def afresh(self) -> LeafPolicy:
        """The policy as the user gave it, without what a trace has found out."""
        return LeafPolicy(self._leaves, self._opened)

    def keep(self, layer: Any, reason: str) -> None:
        """Keep `layer` whole from now on, because of `reason`."""
        self.kept[id(layer)] = reason

    def is_leaf(self, layer: Any, path: str) -> bool:
        """Whether `layer` at `path` is one node."""
        if self.is_kept(layer, path):
            return True
        if id(layer) in self.forced_open or _selected(layer, path, self._opened):
            return False
        return is_plain_leaf(layer)

    def is_kept(self, layer: Any, path: str) -> bool:
        """Whether `layer` has to stay whole, by request or because it could not be opened."""
        return id(layer) in self.kept or self.is_requested(layer, path)

    def is_requested(self, layer: Any, path: str) -> bool:
        """Whether the user asked for `layer` to stay whole."""
        return _selected(layer, path, self._leaves)


def _listed(selectors: Any) -> tuple[Selector, ...]:
    return tuple(selectors) if isinstance(selectors, (list, tuple, set)) else (selectors,)


def require_matches(policy: LeafPolicy, layers: Sequence[tuple[str, Any]]) -> None:
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
                    why="a selector is a class, a pattern of paths or a predicate",
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
    return describe(
        f"{argument}= has {what}, which matches no layer below the model.",
        why=f"{'the nearest are' if nearest else 'there are'}: {shown}",
        hint=f"{argument}=[{selector}] for a class, without quotes"
        if is_class
        else "correct it or leave it out; print(kerasfx.explain(model, inputs)) lists the layers",
    )


def _selected(layer: Any, path: str, selectors: tuple[Selector, ...]) -> bool:
    return any(_matches(layer, path, s) for s in selectors)


def _matches(layer: Any, path: str, selector: Selector) -> bool:
    if isinstance(selector, type):
        return isinstance(layer, selector)
    if isinstance(selector, str):
        return fnmatchcase(path, _literal_brackets(selector))
    return bool(selector(layer))


def _literal_brackets(pattern: str) -> str:
    """Let `blocks[0]` in a pattern mean itself: fnmatch reads brackets as a set of characters."""
    return pattern.replace("[", "[[]")
