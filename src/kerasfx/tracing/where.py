"""Where: the path of a layer in its model, and the user's line."""

from __future__ import annotations

import dis
import linecache
import os
import sys
import traceback
from collections import deque
from collections.abc import Iterator
from itertools import chain, count
from types import CodeType, FrameType
from typing import Any

import keras

from kerasfx.ir import SourceLine
from kerasfx.keras_api.internals import (
    HOLD_LAYERS,
    Layer,
    attributes,
    own_state,
    sublayers,
)
from kerasfx.keras_api.names import made_up_of

_SKIPPED = {
    "keras",
    "kerasfx",
    "tensorflow",
    "jax",
    "torch",
    "einops",
    "contextlib.py",
    "functools.py",
    "inspect.py",
    "optree",
}

_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_ENTRIES = {os.path.join(_OURS, *parts) for parts in (("tracing", "attempt.py"), ("prepare.py",))}
"""From where the model is called: what lies outside is the script that asks for it."""

_KERAS = os.path.dirname(keras.__file__) + os.sep
_WARNING_FUNCTIONS = ("softmax",)
"""It warns that the softmax of a lone number is 1; the result is right for any size."""


def source_line() -> SourceLine | None:
    """The innermost line of the model's code on the stack, which is neither Keras's, a backend's nor ours.

    What a Functional model calls has none: its code ran when the model was made.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in _ENTRIES:
        if not _is_skipped(frame):
            return line_at(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def asked_for_a_warning() -> bool:
    """Whether the innermost code that is not ours is a function of Keras that asks about a size to warn."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(_KERAS):
        return False
    return frame.f_code.co_name in _WARNING_FUNCTIONS


def called_by_user() -> bool:
    """Whether the innermost frame outside of kerasfx is of neither Keras nor a backend."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame is not None and not _is_skipped(frame)


def is_of_the_user(frame: FrameType) -> bool:
    """Whether a frame runs code that is neither Keras's, a backend's nor ours."""
    return not _is_skipped(frame)


def failing_line(error: BaseException) -> SourceLine | None:
    """The innermost line of the user's code in the traceback of `error`."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if not _is_skipped(frame):
            return line_at(frame.f_code.co_filename, line)
    return None


def fault_of_ours(error: BaseException) -> SourceLine | None:
    """The line of kerasfx that raised `error` without meaning to, or None."""
    file, line = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)][-1]
    found = line_at(file, line) if line is not None and file.startswith(_OURS) else None
    # A `raise` of ours is meant, whatever it says.
    return None if found is None or found.text.startswith("raise") else found


def raised_by_user(error: BaseException) -> bool:
    """Whether a `raise` or `assert` of the user's code raised `error`, and not to pass on one of ours.

    What was being handled before, where `prepare_model` is called in an `except` block, does not count.
    """
    frames, last = [], None
    step = error.__traceback__
    while step is not None:
        frames.append(step.tb_frame)
        last, step = step, step.tb_next
    if last is None or _is_skipped(last.tb_frame):
        return False
    # An `assert` is compiled to the same.
    is_raise = last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE
    behind = [x for x in (error.__context__, error.__cause__) if x is not None]
    handled = [x for x in behind if x.__traceback__ and x.__traceback__.tb_frame in frames]
    return is_raise and all(map(raised_by_user, handled))


_RAISE = dis.opmap["RAISE_VARARGS"]


def line_at(file: str, line: int) -> SourceLine:
    """The line of that number, counted from 1, with its text."""
    return SourceLine(file, line, linecache.getline(file, line).strip())


def line_of_user(code: CodeType | None) -> SourceLine | None:
    """The first line of code of the user's; None for that of Keras, a backend or kerasfx."""
    if code is None or code.co_filename == "<string>" or _is_file_skipped(code.co_filename):
        return None
    return line_at(code.co_filename, code.co_firstlineno)


_skipped_files: dict[str, bool] = {}


def _is_skipped(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file == "<string>":  # code that was executed; libraries do so, too
        return str(frame.f_globals.get("__name__")).partition(".")[0] in _SKIPPED
    return _is_file_skipped(file)


def _is_file_skipped(file: str) -> bool:
    if file not in _skipped_files:
        parts = file.split(os.sep)
        package = parts[parts.index("site-packages") + 1] if "site-packages" in parts else parts[-1]
        inside_keras = os.path.dirname(keras.__file__) + os.sep
        _skipped_files[file] = package in _SKIPPED or file.startswith((_OURS, inside_keras, "<frozen"))
    return _skipped_files[file]


class Paths:
    """Paths of layers and variables below a root layer, by attribute: `encoder.blocks[0].attention`.

    A layer that is no attribute, as those of a Functional model, goes by its name. Where Keras made that up,
    it counts layers of the process; here they are counted anew below each parent, so that a model has the
    same paths whenever it is made.
    """

    def __init__(self, root: Any):
        self._root = root
        self._layers: dict[int, str] = {}
        self._variables: dict[int, str] = {}
        self._parents: dict[int, str] = {}
        self._keep_alive: list[Any] = []
        self._walk()

    def of_layer(self, layer: keras.Layer, parent: str) -> str:
        """The path of `layer`; a layer that no attribute leads to is named below `parent`."""
        if id(layer) not in self._layers:
            self._walk()
        if id(layer) not in self._layers:
            path = join(parent, name_of(layer))
            self._parents.setdefault(id(layer), parent)
            self._remember(layer, _unlike(path, set(self._layers.values())))
        return self._layers[id(layer)]

    def of_variable(self, variable: keras.Variable) -> str:
        """The path of a variable: the path of the layer that made it, and its name."""
        if id(variable) not in self._variables:
            self._walk()
        found = self._variables.get(id(variable))
        return found or (VARIABLE if made_up_of(variable) else variable.path.replace("/", "."))

    def below_root(self) -> list[tuple[str, Any]]:
        """Every layer that is known but the root, with its path."""
        self._walk()
        return [(self._layers[id(x)], x) for x in self._known() if x is not self._root]

    def below(self) -> dict[str, list[tuple[str, Any]]]:
        """The layers right below each path, each with its own path; the root is below none."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for path, layer in self.below_root():
            found.setdefault(self._parents.get(id(layer), ""), []).append((path, layer))
        return found

    def _known(self) -> list[Any]:
        return list({id(x): x for x in self._keep_alive}.values())

    def _remember(self, layer: keras.Layer, path: str) -> None:
        self._layers[id(layer)] = path
        # Its id is its own as long as it lives.
        self._keep_alive.append(layer)
        for step, variable in _variables_of(layer):
            self._variables.setdefault(id(variable), join(path, step))

    def _walk(self) -> None:
        # Breadth first: of all paths to a layer it gets the shortest.
        queue = deque([(self._root, "")])
        seen: set[int] = set()
        while queue:
            layer, path = queue.popleft()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            # The path that it was given first, which messages and selectors have said.
            self._remember(layer, self._layers.get(id(layer), path))
            for step, child in _children(layer):
                self._parents.setdefault(id(child), self._layers[id(layer)])
                queue.append((child, join(path, step)))


VARIABLE = "variable"
"""Name of a variable that was given none, on every backend."""


def join(parent: str, step: str) -> str:
    """`join("a", "b")` is `"a.b"`; `join("", "b")` is `"b"`."""
    return f"{parent}.{step}" if parent else step


def name_of(layer: keras.Layer) -> str:
    """The name of a layer, without the number that Keras gave it."""
    return made_up_of(layer) or layer.name


def _children(layer: keras.Layer) -> Iterator[tuple[str, Any]]:
    # By the kind first: few attributes can hold a layer.
    found = [(k, v) for k, v in attributes(layer).items() if isinstance(v, (Layer, list, tuple, dict))]
    own = [(k, v) for k, v in found if not k.startswith(HOLD_LAYERS)]
    # Alike on all backends: a layer that is an attribute and in a list of layers goes by the attribute.
    by_attribute = [(name, value) for name, value in own if isinstance(value, Layer)]
    for name, value in own:
        if not isinstance(value, Layer):
            by_attribute += _held(value, name, Layer)
    yield from by_attribute
    reached = {id(child) for _, child in by_attribute}
    tracked = [*(_own_layers(layer) if isinstance(layer, keras.Model) else ()), *sublayers(layer)]
    yield from _by_name([x for x in tracked if id(x) not in reached], {step for step, _ in by_attribute})


def _by_name(layers: list[Any], taken: set[str]) -> Iterator[tuple[str, Any]]:
    """Each layer with its name, or with its kind and its number among those here that Keras named."""
    once = list({id(layer): layer for layer in layers}.values())
    taken = taken | {layer.name for layer in once if not made_up_of(layer)}
    for layer in once:
        step = _unlike(name_of(layer), taken) if made_up_of(layer) else layer.name
        taken.add(step)
        yield step, layer


def _variables_of(layer: keras.Layer) -> Iterator[tuple[str, Any]]:
    """Each variable of a layer's own with its name, or the attribute that it is, where it was given none."""
    variables = own_state(layer)
    named = {v.name for v in variables if not made_up_of(v)}
    by_attribute = {} if len(named) == len(variables) else _variables_by_attribute(layer)
    for variable in variables:
        step = variable.name
        if made_up_of(variable):
            step = _unlike(by_attribute.get(id(variable), VARIABLE), named)
            named.add(step)
        yield step, variable


def _variables_by_attribute(layer: keras.Layer) -> dict[int, str]:
    """The attribute that leads to each variable; Keras itself keeps them in lists."""
    lists = [(name, x) for name, x in attributes(layer).items() if not name.startswith("_")]
    found = {id(x): path for name, value in lists for path, x in _held(value, name, keras.Variable)}
    return found | {id(x): k for k, x in attributes(layer).items() if isinstance(x, keras.Variable)}


def _unlike(wish: str, taken: set[str]) -> str:
    """`wish`, or the first of `wish_1`, `wish_2`... that is not taken."""
    numbered = (f"{wish}_{i}" for i in count(1))
    return next(x for x in chain([wish], numbered) if x not in taken)


def _own_layers(model: keras.Layer) -> list[Any]:
    return list(model.layers)


def _held(value: Any, step: str, kind: type) -> Iterator[tuple[str, Any]]:
    """What an attribute holds of a kind, in lists and dicts."""
    if isinstance(value, kind):
        yield step, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _held(item, f"{step}[{i}]", kind)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _held(item, f"{step}[{key}]", kind)
