"""Where: the path of a layer in its model, and the user's line."""

from __future__ import annotations

import dis
import linecache
import os
import sys
import traceback
from collections import deque
from collections.abc import Iterator
from types import FrameType
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

_SKIPPED = {
    "keras",
    "kerasfx",
    "tensorflow",
    "jax",
    "torch",
    "einops",
    "contextlib.py",
    "functools.py",
    "optree",
}

_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_KERAS = os.path.dirname(keras.__file__) + os.sep
_WARNING_FUNCTIONS = ("softmax",)
"""It warns that the softmax of a lone number is 1; the result is right for any size."""


def source_line() -> SourceLine | None:
    """The innermost line on the stack that is neither Keras's, a backend's nor ours."""
    frame = sys._getframe(1)
    while frame is not None:
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
    """Paths of layers and variables below a root layer, by attribute: `encoder.blocks[0].attention`."""

    def __init__(self, root: Any):
        self._root = root
        self._layers: dict[int, str] = {}
        self._variables: dict[int, str] = {}
        self._keep_alive: list[Any] = []
        self._walk()

    def of_layer(self, layer: keras.Layer, parent: str) -> str:
        """The path of `layer`; a layer that no attribute leads to is named below `parent`."""
        if id(layer) not in self._layers:
            self._walk()
        if id(layer) not in self._layers:
            self._remember(layer, join(parent, layer.name))
        return self._layers[id(layer)]

    def of_variable(self, variable: keras.Variable) -> str:
        """The path of a variable: the path of the layer that made it, and its name."""
        if id(variable) not in self._variables:
            self._walk()
        return self._variables.get(id(variable)) or variable.path.replace("/", ".")

    def below_root(self) -> list[tuple[str, Any]]:
        """Every layer that is known but the root, with its path."""
        self._walk()
        return [(self._layers[id(x)], x) for x in self._keep_alive if x is not self._root]

    def _remember(self, layer: keras.Layer, path: str) -> None:
        self._layers[id(layer)] = path
        # Its id is its own as long as it lives.
        self._keep_alive.append(layer)
        for variable in own_state(layer):
            self._variables.setdefault(id(variable), join(path, variable.name))

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
            queue.extend((child, join(path, step)) for step, child in _children(layer))


def join(parent: str, step: str) -> str:
    """`join("a", "b")` is `"a.b"`; `join("", "b")` is `"b"`."""
    return f"{parent}.{step}" if parent else step


def _children(layer: keras.Layer) -> Iterator[tuple[str, Any]]:
    own = {k: v for k, v in attributes(layer).items() if not k.startswith(HOLD_LAYERS)}
    # Alike on all backends: a layer that is an attribute and in a list of layers goes by the attribute.
    yield from ((name, value) for name, value in own.items() if isinstance(value, Layer))
    for name, value in own.items():
        if not isinstance(value, Layer):
            yield from _layers_in(value, name)
    if isinstance(layer, keras.Model):
        yield from ((child.name, child) for child in _own_layers(layer))
    yield from ((child.name, child) for child in sublayers(layer))


def _own_layers(model: keras.Layer) -> list[Any]:
    return list(model.layers)


def _layers_in(value: Any, step: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Layer):
        yield step, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _layers_in(item, f"{step}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _layers_in(item, f"{step}[{key}]")
