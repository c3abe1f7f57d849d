"""Objects of Keras by their constructors, with the arguments that are not the usual ones."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from typing import Any, TypeGuard

import keras

from kerasfx.keras_api.arrays import to_numpy
from kerasfx.source_code import values
from kerasfx.source_code.layout import Brackets, Expression, Text, call
from kerasfx.source_code.values import CannotBeWrittenError

Config = dict[str, Any]

LAST = ("trainable", "dtype", "name")
"""What stands at the end of the arguments."""

MODELS = ("Functional", "Sequential")


class Constructors:
    """Writes objects.

    Args:
        build: Writes a function that builds a model, and gives the call of it.

    Attributes:
        modules: The modules of classes that are neither Keras's nor those of `kerasfx.layers`.
        has_statistics: Whether a layer needs the function `ADAPTED`.
    """

    def __init__(self, build: Callable[[keras.Model], Expression]):
        self._build = build
        self._known: dict[str, list[str]] = {}
        self.modules: set[str] = set()
        self.has_statistics = False

    def of(self, x: Any) -> Expression:
        """A part of a config, which may stand for an object.

        Raises:
            CannotBeWrittenError: Code cannot say it.
        """
        if values.is_serialized(x):
            return self._object(x)
        if isinstance(x, (list, tuple)):
            return values.sequence(x, self.of)
        if isinstance(x, dict):
            return values.mapping(x, self.of)
        return values.literal(x)

    def layer(self, layer: keras.layers.Layer) -> Brackets:
        """The constructor of a layer.

        Raises:
            CannotBeWrittenError: Its class cannot be imported, or has no config that gives it again.
        """
        try:
            config = layer.get_config()
        # Keras's own where a class has no `get_config`, and whatever the user's raises.
        except Exception as error:
            raise CannotBeWrittenError(f"its get_config() gives no config: {shortly(error)}") from error
        # It lies in a file beside the weights, where only a whole model saves it.
        if hasattr(layer, "get_vocabulary") and config.get("vocabulary") is None:
            raise CannotBeWrittenError("its vocabulary was adapted, and lies in neither config nor weights")
        made = self.written(type(layer), config)
        return self._adapted(layer, made) if has_statistics(layer) else made

    def _adapted(self, layer: keras.layers.Normalization, made: Brackets) -> Brackets:
        """A layer with the statistics that it adapted to, which are numbers and no word of its config."""
        self.has_statistics = True
        built = layer.get_build_config() or {}
        shape = values.literal(tuple(built["input_shape"]))
        mean, variance = map(values.numbers, (layer.adapt_mean, layer.adapt_variance))
        return call(ADAPTED, made, shape, mean=mean, variance=variance)

    def written(self, cls: type, config: Config) -> Brackets:
        """An object of a class by its config."""
        if cls is keras.layers.Lambda:
            raise CannotBeWrittenError("a Lambda holds code that it does not show")
        name = values.named(cls)
        if not name.startswith(("keras.", "kerasfx.layers.")):
            self.modules.add(name.removesuffix(f".{cls.__qualname__}"))
        kept = self._kept(cls, config)
        required = _required(cls)
        items = []
        for key in _in_order(kept, required):
            is_first = required[:1] == [key]
            items.append(("" if is_first else f"{key}=", self.of(config[key])))
        return Brackets(Text(name), tuple(items))

    def _object(self, serialized: Config) -> Expression:
        name = serialized["class_name"]
        if name in MODELS:
            return self._build(keras.saving.deserialize_keras_object(copy.deepcopy(serialized)))
        if name in SPECIAL:
            return self.of(keras.saving.deserialize_keras_object(copy.deepcopy(serialized)))
        short = values.policy(serialized) or values.shortened(serialized)
        if short:
            return short
        return self.written(values.class_of(serialized), serialized["config"])

    def _kept(self, cls: type, config: Config) -> list[str]:
        told = {k: x for k, x in config.items() if k != "name"}
        key = f"{cls.__module__}.{cls.__qualname__} {json.dumps(told, default=repr, sort_keys=True)}"
        if key not in self._known:
            self._known[key] = unusual(cls, config)
        return self._known[key]


ADAPTED = "adapted"

ADAPTED_CODE = f'''def {ADAPTED}(layer, input_shape, mean, variance):
    """Give `Normalization` its statistics: it computes with those it was finalized with."""
    layer.build(input_shape)
    layer.adapt_mean.assign(mean)
    layer.adapt_variance.assign(variance)
    layer.finalize_state()
    return layer'''


def has_statistics(layer: keras.layers.Layer) -> TypeGuard[keras.layers.Normalization]:
    """Whether a layer is a `Normalization` that was adapted."""
    if not isinstance(layer, keras.layers.Normalization) or not layer.weights:
        return False
    mean, variance = map(to_numpy, (layer.adapt_mean, layer.adapt_variance))
    return bool((mean != 0).any() or (variance != 1).any())


SPECIAL = ("__numpy__", "__tensor__", "__bytes__", "__ellipsis__", "__slice__")
"""What Keras writes for values that JSON does not have."""


def unusual(cls: Any, config: Config) -> list[str]:
    """The keys of a config that are needed to get it again.

    Raises:
        CannotBeWrittenError: All of them are not enough.
    """
    required = _required(cls)
    kept = [k for k in config if k in required or k == "name"]
    kept = _with_what_differs(cls, config, kept)
    always = {*required, "name", *(() if is_usual() else SETTINGS)}
    kept += [k for k in always if k in config and k not in kept]
    for key in [k for k in kept if k not in always]:
        fewer = [k for k in kept if k != key]
        # Some follow from others: the strides of a pooling layer from its size.
        if _is_same(_made(cls, config, fewer), config):
            kept = fewer
    return kept


SETTINGS = ("dtype", "data_format")
"""What Keras's own settings decide where nobody says it."""


def is_usual() -> bool:
    """Whether Keras's settings are those that it comes with."""
    return (
        keras.config.dtype_policy().name,
        keras.config.floatx(),
        keras.config.image_data_format(),
    ) == ("float32", "float32", "channels_last")


def _with_what_differs(cls: Any, config: Config, kept: list[str]) -> list[str]:
    while True:
        made = _made(cls, config, kept)
        more = [k for k in config if k not in kept and not is_alike((made or {}).get(k, made), config[k])]
        if not more:
            break
        kept = [*kept, *more]
    if made is None:
        # Some read their config by name, whatever it says.
        kept = list(config)
        made = _made(cls, config, kept)
    if made is None:
        raise CannotBeWrittenError(f"its get_config() does not make it again: {_failure(cls, config)}")
    if not _is_same(made, config):
        raise CannotBeWrittenError("what its get_config() says makes another one")
    return kept


def _is_same(made: Config | None, config: Config) -> bool:
    return (
        made is not None
        and made.keys() == config.keys()
        and all(is_alike(made[k], config[k]) for k in config)
    )


def _failure(cls: Any, config: Config) -> str:
    """What a class raises that is made of its config."""
    try:
        cls.from_config(copy.deepcopy(config))
    except Exception as error:
        return shortly(error)
    return "without what it is made with by default"


def shortly(error: Exception) -> str:
    """An exception in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.300}"


def is_alike(usual: Any, said: Any) -> bool:
    """Whether a config says what is usual; some layers make a list of an axis when they are built."""
    return values.is_same(usual, said) or (type(usual) is int and values.is_same([usual], said))


def _made(cls: Any, config: Config, kept: list[str]) -> Config | None:
    """The config of an object that is made of a part of a config; None if none can be made."""
    try:
        return cls.from_config(copy.deepcopy({k: config[k] for k in kept})).get_config()
    # Whatever a class of anybody's raises for arguments that are missing.
    except Exception:
        return None


def _required(cls: Any) -> list[str]:
    """The parameters of a constructor that have no default."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return [p.name for p in found if p.kind in named and p.default is p.empty]


def _in_order(kept: list[str], required: list[str]) -> list[str]:
    rest = [k for k in kept if k not in required and k not in LAST]
    return [*(k for k in required if k in kept), *rest, *(k for k in LAST if k in kept)]
