"""What a node calls: a function by its dotted name, a layer, or a change of state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, NamedTuple

import numpy as np

from kerasfx.ir.structure import shown

SAID_IN_FULL = ("keras.initializers", "keras.regularizers", "keras.constraints")
"""Modules of Keras whose objects are all that their config says."""


class Slot(NamedTuple):
    """A weight that a layer has room for."""

    shape: tuple[int, ...]
    dtype: str
    trainable: bool = True


class Target:
    """What the kinds of targets answer alike, but for a function's name, which is a `str`.

    Attributes:
        layer: The layer object of the original model that is called, or None.
        draws_seed: Whether the result is a seed.
        changes_state: Whether the call changes a variable or a metric, besides giving its result.
        when: The value of `training` for which it does; None for both.
    """

    layer: Any = None
    draws_seed: bool = False
    changes_state: bool = False
    when: bool | None = None

    @property
    def variables(self) -> list[Any]:
        """The variables of the original that the target holds itself, seeds included."""
        return []

    @property
    def settings(self) -> dict[str, Any]:
        """What is known of the config of a layer."""
        return {}

    def is_of(self, cls: type) -> bool:
        """Whether a layer of exactly this class is called."""
        return False

    def text(self, path: str) -> str:
        """How the text form names the target of a node at `path`."""
        raise NotImplementedError


@dataclass(frozen=True)
class LayerSpec(Target):
    """A layer to be made: what a pass puts where an op stood.

    Attributes:
        class_name: Public name, such as `"keras.layers.Add"`.
        config: Keyword arguments of its constructor.
        slots: Its weights by name, {} for a layer without any. `graph.make` makes the layer once to see them;
            None: nobody looked.
        made: The config of the layer that was made once, what `config` does not say included.
        generator: The `keras.random.SeedGenerator` of the original that its own goes on from, if any.
    """

    class_name: str
    config: dict[str, Any] = field(default_factory=dict)
    # Not compared: calls are of one layer if it is made alike, whoever looked at it.
    slots: dict[str, Slot] | None = field(default=None, compare=False)
    made: dict[str, Any] = field(default_factory=dict, compare=False)
    generator: Any = None

    def __eq__(self, other: object) -> bool:
        """Whether both make the same layer."""
        if not isinstance(other, LayerSpec):
            return NotImplemented
        is_alike = self.class_name == other.class_name and self.config.keys() == other.config.keys()
        return (
            is_alike
            and self.generator is other.generator
            and all(self._is_alike(other, key) for key in self.config)
        )

    def _is_alike(self, other: LayerSpec, key: str) -> bool:
        ours, theirs = self.config[key], other.config[key]
        if ours is theirs:
            return True
        if isinstance(ours, np.ndarray) or isinstance(theirs, np.ndarray):
            return type(ours) is type(theirs) and np.array_equal(ours, theirs)
        # Two initializers of Keras are never `==`, and may say the same. Of what the user wrote only a name
        # may be known, which says nothing.
        said = self.made.get(key)
        is_of_keras = isinstance(said, dict) and said.get("module") in SAID_IN_FULL
        return bool(ours == theirs) or (is_of_keras and said == other.made.get(key))

    @property
    def variables(self) -> list[Any]:
        """The state of the generator."""
        return [] if self.generator is None else [self.generator.state]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the constructor, and what it takes for those that it was not given."""
        return {**self.made, **self.config}

    def is_of(self, cls: type) -> bool:
        """Whether it has the name of a class of the same package."""
        package = self.class_name.partition(".")[0]
        name = self.class_name.rpartition(".")[2]
        return name == cls.__name__ and package == cls.__module__.partition(".")[0]

    def text(self, path: str) -> str:
        """`Permute(dims=(2, 1))`."""
        config = ", ".join(f"{k}={shown(v)}" for k, v in self.config.items() if k != "dtype")
        return f"{self.class_name.rpartition('.')[2]}({config})"


@dataclass(frozen=True, eq=False)
class LayerCall(Target):
    """The target of a Node that calls a layer object of the original model.

    Attributes:
        layer: The layer.
        opaque: Why a custom layer was kept whole; `None` for a layer that is a leaf anyway.
        config: Entries that replace those of the layer's config in a copy.
        copy: Calls of one layer are of one copy of it, but where this differs.
    """

    # Without it, the None of the base class would be the default.
    layer: Any = field()
    opaque: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    copy: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What calls of one layer of the result have in common."""
        return id(self.layer), self.copy

    @property
    def variables(self) -> list[Any]:
        """All variables of the layer."""
        return list(self.layer.variables)

    @property
    def weights(self) -> dict[str, Any]:
        """The weights of the layer by the names that a pass uses."""
        return weights_by_name(self.layer)

    @property
    def settings(self) -> dict[str, Any]:
        """The config, with the entries that are replaced in a copy."""
        return {**self.layer.get_config(), **self.config}

    def is_of(self, cls: type) -> bool:
        """Whether the layer is of this class, and of no class derived from it."""
        return type(self.layer) is cls

    def text(self, path: str) -> str:
        """`Dense 'encoder.proj'`."""
        kind = "opaque " if self.opaque else ""
        return f"{kind}{type(self.layer).__name__} '{path}'"


@dataclass(frozen=True, eq=False)
class SeedDraw(Target):
    """The target of a Node that draws from a seed generator; its result is a seed of shape (2,).

    The Node takes the previous draw from the same generator, if any, so that draws keep their order.

    Attributes:
        generator: The `keras.random.SeedGenerator`.
    """

    generator: Any
    draws_seed = True

    @property
    def variables(self) -> list[Any]:
        """The state of the generator."""
        return [self.generator.state]

    def text(self, path: str) -> str:
        """`draw_seed`."""
        return "draw_seed"


@dataclass(frozen=True, eq=False)
class Assignment(Target):
    """The target of a Node that assigns a variable; it takes (x, new value, parameter) and gives x.

    Attributes:
        variable: The variable of the original model.
    """

    variable: Any
    changes_state = True

    def text(self, path: str) -> str:
        """`assign`."""
        return "assign"


@dataclass(frozen=True, eq=False)
class MetricUpdate(Target):
    """The target of a Node that updates a metric; it takes (x, arguments of the update) and gives x.

    Attributes:
        metric: The metric of the original model.
        when: The value of `training` for which it is updated; None for both.
    """

    metric: Any
    when: bool | None = None
    changes_state = True

    def text(self, path: str) -> str:
        """`update_metric 'accuracy'`."""
        return f"update_metric '{self.metric.name}'"


def weights_by_name(layer: Any) -> dict[str, Any]:
    """The weights of a layer by name: "kernel", or "query/kernel" where layers lie inside of it.

    A name is the variable's path below what the paths of all share, so that it is the same for a layer of
    the original and for one that is made from its config, whatever each is called.
    """
    variables = list(layer.weights)
    paths = [str(v.path).split("/") for v in variables]
    # The last part is the name that a variable has in its layer.
    depth = _depth_in_common([p[:-1] for p in paths])
    return dict(zip(_unlike("/".join(p[depth:]) for p in paths), variables, strict=True))


def _depth_in_common(paths: list[list[str]]) -> int:
    depth = 0
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        depth += 1
    return depth


def _unlike(names: Iterator[str]) -> Iterator[str]:
    """Names of which no two are alike: a custom layer may call two of its weights the same."""
    taken: set[str] = set()
    for name in names:
        numbered = (f"{name}_{i}" for i in count(1))
        unlike = next(x for x in chain([name], numbered) if x not in taken)
        taken.add(unlike)
        yield unlike
