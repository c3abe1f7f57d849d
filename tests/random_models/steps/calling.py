"""Calls of other custom layers, and of layers that all share."""

from tests.random_models.values import Value
from tests.random_models.writing import Writer

SHARED = (
    *("layers.Dense({n}, activation='tanh')", "layers.LayerNormalization()", "layers.Dropout(0.5, seed=7)"),
    *("layers.BatchNormalization(momentum=0.5)", "layers.Dense({n})", "layers.Activation('relu')"),
)


def _called(w: Writer, arguments: list[Value], number: int) -> Value | None:
    """An inner layer on its arguments; the one that was called on such before, if there is one."""
    if not w.block.inner:
        return None
    index = number % len(w.block.inner)
    key = index, tuple((x.shape, x.dtype) for x in arguments)
    if key not in w.inner_layers:
        inner = w.call_inner(w.block.inner[index], arguments)
        w.inner_layers[key] = w.layer(f"{inner.name}()", "inner"), inner
    name, inner = w.inner_layers[key]
    handed = ", ".join(map(str, arguments))
    if len(arguments) == 2:
        handed = f"[{handed}]" if inner.takes_list else f"{arguments[0]}, other={arguments[1]}"
    if inner.takes_mode:
        handed += f", mode={('add', 'scale')[number % 2]!r}"
    if inner.knows_training and w.knows_training and number % 3:
        handed += ", training=training"
    elif inner.knows_training and number in (6, 9):
        handed += f", training={number == 6}"
    return _unpacked(w, f"{name}({handed})", inner.outputs)


def _unpacked(w: Writer, call: str, outputs: tuple[tuple[object, Value], ...]) -> Value:
    if [key for key, _ in outputs] == [None]:
        return w.value(call, outputs[0][1])
    found = w.name("found")
    w.line(f"{found} = {call}")
    taken = [w.value(f"{found}[{key!r}]", output) for key, output in outputs]
    w.tensors += taken[1:]
    return taken[0]


def inner(w: Writer, x: Value, number: int) -> Value | None:
    return _called(w, [x], number)


def inner_of_two(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    return _called(w, [x, y], number) if x.name != y.name else None


def inner_again(w: Writer, x: Value, number: int) -> Value | None:
    """Twice in a row, if it returns what it takes."""
    first = _called(w, [x], number)
    if first is None or (first.shape, first.dtype) != (x.shape, x.dtype):
        return first
    return _called(w, [first], number)


def inner_in_a_loop(w: Writer, x: Value, number: int) -> Value | None:
    """A list of layers of one class, one after another."""
    if not w.block.inner or not x.is_features:
        return None
    made = w.call_inner(w.block.inner[number % len(w.block.inner)], [x])
    if made.takes_mode or [(key, o.shape, o.dtype) for key, o in made.outputs] != [(None, x.shape, x.dtype)]:
        return None
    name = w.name("stack")
    w.made.append(f"self.{name} = [{made.name}() for _ in range(2)]")
    h = w.value(f"{x}", x)
    w.line(f"for each in self.{name}:\n    {h} = each({h})")
    return h


def shared(w: Writer, x: Value, number: int) -> Value | None:
    """A layer that other custom layers hold as well."""
    if not x.is_features:
        return None
    code = SHARED[number % len(SHARED)].format(n=x.width)
    name = w.name("shared")
    line = f"self.{name} = shared[{w.share(f'{code}  # {x.width}')!r}]"
    w.made.append(line)
    return w.value(f"self.{name}({x})", x)


STEPS = (inner, inner_of_two, inner_again, inner_in_a_loop, shared)
