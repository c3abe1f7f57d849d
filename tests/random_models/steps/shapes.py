"""Free sizes and arithmetic on them, reshape, transpose, slice, split, concatenate, einsum, gather."""

import math

import keras

from tests.random_models.values import BATCH, Value
from tests.random_models.writing import Writer

ON_TORCH = keras.backend.backend() == "torch"
LETTERS = "abcdef"


def size(x: Value, axis: int, number: int = 0) -> str:
    """The code of one size: a number where it is known, or a question."""
    dim = x.shape[axis]
    if isinstance(dim, int) and number % 2 == 0:
        return str(dim)
    # TensorFlow's shapes hold None while Keras builds a Functional model.
    if not isinstance(dim, int) and keras.backend.backend() == "tensorflow":
        return f"ops.shape({x})[{axis}]"
    return f"ops.shape({x})[{axis}]" if number % 3 else f"{x}.shape[{axis}]"


def _sizes(x: Value, number: int) -> list[str]:
    return [size(x, axis, number) for axis in range(x.rank)]


def flattened(w: Writer, x: Value, number: int) -> Value | None:
    if not (x.is_features and x.is_static and x.rank > 2):
        return None
    width = math.prod(x.shape[1:])
    ways = (
        f"{w.layer('layers.Flatten()')}({x})" if number % 5 == 0 else "",
        f"ops.reshape({x}, (-1, {width}))",
        f"ops.reshape({x}, ({size(x, 0, 1)}, -1))",
        f"ops.reshape({x}, [ops.shape({x})[0], {width}])",
        f"ops.reshape({x}, ({size(x, 0, 3)},) + ({' * '.join(_sizes(x, number)[1:])},))",
    )
    return w.value(ways[number % 5], x.of_shape((BATCH, width)))


def reshaped(w: Writer, x: Value, number: int) -> Value | None:
    """The last axis becomes two, or the two last one."""
    if not x.is_features:
        return None
    before = _sizes(x, number)
    if x.rank > 2 and number % 2 and isinstance(x.shape[-2], int):
        shape = (*x.shape[:-2], x.shape[-2] * x.width)
        if sum(not isinstance(dim, int) for dim in shape) > 1:
            new = [*before[:-2], f"{before[-2]} * {before[-1]}"]
        else:
            new = ["-1", *map(str, shape[1:])]
    elif x.width % 2 == 0 and x.rank < 4:
        shape = (*x.shape[:-1], 2, x.width // 2)
        new = [*before[:-1], "2", f"{before[-1]} // 2" if number % 3 else "-1"]
    else:
        return None
    return w.value(f"ops.reshape({x}, ({', '.join(new)}))", x.of_shape(shape))


def heads(w: Writer, x: Value, number: int) -> Value | None:
    """Into heads, something along time, and back: what attention by hand does."""
    if not x.is_sequence or x.width % 2:
        return None
    batch, time, width = (w.name(n) for n in ("batch", "time", "width"))
    asked = (
        f"{batch}, {time}, {width} = ops.shape({x})"
        if number % 2
        else (f"{batch}, {time}, {width} = ops.shape({x})[0], {size(x, 1, number)}, {x}.shape[-1]")
    )
    w.line(asked)
    split = w.value(f"ops.reshape({x}, ({batch}, {time}, 2, {width} // 2))", x)
    moved = w.value(f"ops.transpose({split}, (0, 2, 1, 3))", x)
    mixed = w.value(f"ops.tanh({moved}) + ops.mean({moved}, axis=2, keepdims=True)", x)
    back = w.value(f"ops.transpose({mixed}, (0, 2, 1, 3))", x)
    return w.value(f"ops.reshape({back}, ({batch}, {time}, {width}))", x)


def merged_into_batch(w: Writer, x: Value, number: int) -> Value | None:
    """The time goes into the batch and comes back."""
    if not x.is_sequence:
        return None
    sizes = _sizes(x, number)
    rows = w.value(f"ops.reshape({x}, (-1, {x.width}))", x)
    done = w.value(f"{w.layer(f'layers.Dense({x.width})')}({rows})" if number % 2 else f"ops.tanh({rows})", x)
    new = f"({sizes[0]}, {sizes[1]}, -1)" if number % 3 else f"ops.shape({x})"
    return w.value(f"ops.reshape({done}, {new})", x)


def transposed(w: Writer, x: Value, number: int) -> Value | None:
    """Two axes behind the batch change places, for good or for a while."""
    if not (x.is_float and x.is_batched and x.rank in (3, 4)):
        return None
    order = [0, 2, 1] if x.rank == 3 else ([0, 2, 1, 3], [0, 3, 2, 1], [0, 1, 3, 2])[number % 3]
    shape = tuple(x.shape[axis] for axis in order)
    ways = (f"ops.transpose({x}, {tuple(order)})", f"ops.transpose({x}, axes={order})")
    if x.rank == 3:
        ways += (f"ops.swapaxes({x}, 1, 2)", f"ops.moveaxis({x}, -1, 1)", f"ops.einsum('btw->bwt', {x})")
        ways += (f"{w.layer('layers.Permute((2, 1))')}({x})",) if number % 6 == 5 else ()
    return w.value(ways[number % len(ways)], x.of_shape(shape))


def sliced(w: Writer, x: Value, number: int) -> Value | None:
    """A part of an axis that is known, beside what is left of it."""
    if not x.is_features or x.width < 2:
        return None
    ways = (
        f"ops.concatenate([{x}[..., 1:], {x}[..., :1]], axis=-1)",
        f"ops.concatenate([{x}[..., -1:], {x}[..., :-1] * 0.5], -1)",
        f"{x}[...] * {x}[..., :1]",
        f"{x} - {x}[..., 0][..., None]",
        f"{x} + {x}[..., {x.width // 2}:{x.width // 2 + 1}]",
        f"{x} * ops.expand_dims({x}[..., -1], -1)",
    )
    return w.value(ways[number % len(ways)], x)


def sliced_time(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_sequence or (x.is_static and x.shape[1] < 2):
        return None
    t = size(x, 1, number)
    same = (
        f"ops.concatenate([{x}[:, 1:], {x}[:, :1]], axis=1)",
        f"ops.concatenate([{x}[:, {t} // 2:], {x}[:, :{t} // 2] * 0.5], axis=1)",
        f"ops.pad({x}[:, :-1], ((0, 0), (1, 0), (0, 0)))",
        f"{x} - {x}[:, -1:, :]",
        f"ops.pad({x}, [[0, 0], [1, 1], [0, 0]])[:, 2:]",
    )
    if number % 3:
        return w.value(same[number % len(same)], x)
    return w.value(f"{x}[:, {('0', '-1', f'{t} - 1')[number // 3 % 3]}]", x.of_shape((BATCH, x.width)))


def split(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features or x.width % 2:
        return None
    a, b = w.name("left"), w.name("right")
    ways = (f"ops.split({x}, 2, axis=-1)", f"ops.split({x}, [{x.width // 2}], axis={x.rank - 1})")
    w.line(f"{a}, {b} = {ways[number % 2]}")
    if number % 3 == 0:
        w.tensors.append(Value(b, (*x.shape[:-1], x.width // 2)))
        return Value(a, (*x.shape[:-1], x.width // 2))
    joined = (
        f"ops.concatenate([{b}, {a} * 0.5], axis=-1)",
        f"ops.concatenate([ops.tanh({a}) * {b}, {a}], -1)",
    )
    return w.value(joined[number % 2], x)


def joined(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not (x.is_features and y.is_features) or x.shape[:-1] != y.shape[:-1] or x.width + y.width > 12:
        return None
    ways = (
        f"ops.concatenate([{x}, {y}], axis=-1)",
        f"{w.layer('layers.Concatenate()')}([{x}, {y}])" if number % 2 else "",
    )
    return w.value(ways[number % 2], x.of_shape((*x.shape[:-1], x.width + y.width)))


def stacked(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not x.is_features or x.shape != y.shape or not y.is_float:
        return None
    axis = number % (x.rank + 1)
    ways = (
        "ops.sum({s}, axis={a})",
        "ops.max({s}, axis={a})",
        "ops.take({s}, 1, axis={a}) * 0.5",
        "ops.unstack({s}, axis={a})[0]",
    )
    stack = w.value(f"ops.stack([{x}, {y}], axis={axis})", x)
    return w.value(ways[number % 4].format(s=stack, a=axis), x)


def unstacked(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features or not x.is_static or x.rank != 3:
        return None
    ways = (
        f"ops.stack([ops.tanh(s) for s in ops.unstack({x}, axis=1)], axis=1)",
        f"ops.stack([{x}[:, i] * (i + 1) for i in range({x}.shape[1])], axis=1)",
        f"ops.stack(list(reversed(ops.unstack({x}, {x.shape[1]}, axis=1))), axis=1)",
    )
    return w.value(ways[number % 3], x)


def positions(w: Writer, x: Value, number: int) -> Value | None:
    """A table, or a wave, of the positions."""
    if not x.is_sequence:
        return None
    t = size(x, 1, number)
    table = w.layer(f"layers.Embedding(200, {x.width})") if number % 3 == 0 else ""
    ways = (
        f"{x} + {table}(ops.arange({t}))",
        f"{x} + ops.expand_dims(ops.cast(ops.arange({t}), {x}.dtype), -1) / {t}",
        f"{x} * ops.sin(ops.arange({t}, dtype='float32'))[:, None]",
    )
    return w.value(ways[number % 3], x)


def class_token(w: Writer, x: Value, number: int) -> Value | None:
    """A weight in front of the sequence."""
    if not x.is_sequence:
        return None
    token = w.weight((1, 1, x.width), stem="token")
    batch = size(x, 0, 1 + number)
    made = (
        f"ops.broadcast_to({token}, ({batch}, 1, {x.width}))",
        f"ops.tile({token}, ({batch}, 1, 1))",
        f"ops.repeat({token}, {batch}, axis=0)",
    )[number % 3]
    longer = w.value(f"ops.concatenate([{made}, {x}], axis=1)", x)
    return w.value(f"{longer}[:, :-1]" if number % 2 else f"{longer}[:, 1:] + {longer}[:, :1]", x)


def sizes_as_numbers(w: Writer, x: Value, number: int) -> Value | None:
    """Arithmetic on sizes that ends among the numbers."""
    if not x.is_sequence:
        return None
    t = size(x, 1, number)
    ways = (
        f"{x} / {t}",
        f"{x} * ({t} * 2 + 1) / 10",
        f"ops.sum({x}, axis=1) / ops.cast({t}, 'float32')",
        f"{x} + ops.zeros(({size(x, 0, 1)}, {t}, 1))",
        f"{x} * ops.ones_like({x}) + ops.ones(ops.shape({x}))",
        f"{x} * {t} ** 0.5 * 0.3",
        f"{x} / max({t} // 2, 1)",
        f"{x} + ops.full((1, {t}, 1), 0.5)",
    )
    way = ways[number % len(ways)]
    return w.value(way, x.of_shape((BATCH, x.width)) if "ops.sum" in way else x)


def einsum(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not (x.is_sequence and y.is_sequence and x.shape == y.shape):
        return None
    ways = (
        ("ops.einsum('btd,bsd->bts', {x}, {y})", (BATCH, x.shape[1], x.shape[1])),
        ("ops.einsum('btd,bte->bde', {x}, {y}) * 0.2", (BATCH, x.width, x.width)),
        ("ops.einsum('btd,btd->bt', {x}, {y})", x.shape[:2]),
        ("ops.matmul({x}, ops.transpose({y}, (0, 2, 1)))", (BATCH, x.shape[1], x.shape[1])),
        ("ops.einsum('btd,bsd,bse->bte', {x}, {y}, {x}) * 0.1", x.shape),
        ("layers.Dot(axes=(2, 2))([{x}, {y}])", (BATCH, x.shape[1], x.shape[1])),
    )
    expression, shape = ways[number % len(ways)]
    return w.value(expression.format(x=x, y=y), x.of_shape(shape))


def gathered(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    table = w.weight((5, x.width), stem="table") if number % 3 == 0 else ""
    order = [*range(1, x.width), 0]
    ways = (
        f"{x} + ops.take({table}, 3, axis=0)",
        f"ops.take({x}, {order}, axis=-1)",
        f"ops.take({x}, ops.convert_to_tensor({order}, dtype='int32'), axis=-1)",
        f"{x} + ops.take({table}, ops.cast(ops.clip({x}[..., 0], 0, 4), 'int32'), axis=0)",
        f"ops.take_along_axis({x}, ops.zeros_like({x}, dtype='int32'), axis=-1)",
        f"ops.slice_update({x}, [0] * {x.rank}, ops.zeros((1,) * {x.rank}))",
    )
    way = ways[number % 6]
    # TensorFlow has no derivative of a change of a part.
    return None if "slice_update" in way and keras.backend.backend() == "tensorflow" else w.value(way, x)


def axes_of_one(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    if x.rank == 2 and number % 2:
        return w.value(
            ("ops.expand_dims({x}, 1)", "{x}[:, None]", "{x}[:, None, :]")[number % 3].format(x=x),
            x.of_shape((BATCH, 1, x.width)),
        )
    return w.value(
        (
            f"ops.squeeze(ops.expand_dims({x}, 1) * 0.5, axis=1)",
            f"ops.squeeze({x}[..., None], -1)",
            f"ops.repeat({x}, 2, axis=-1)[..., ::2]",
            f"ops.tile({x}[:, None], (1, 2{', 1' * (x.rank - 1)}))[:, 1]",
        )[number % 4],
        x,
    )


def sizes_compared(w: Writer, x: Value, number: int) -> Value | None:
    """Python decides by a size, free or not."""
    if not x.is_sequence:
        return None
    t = size(x, 1, number)
    h = w.value(f"{x} * 1.0", x)
    asked = (f"{t} > 3", f"{x}.shape[-1] == {x.width}", f"len({x}.shape) == 3", f"{t} % 2 == 0")[number % 4]
    w.line(f"if {asked}:\n    {h} = {h} + 0.5\nelse:\n    {h} = ops.tanh({h})")
    return h


def moved_nowhere(w: Writer, x: Value, number: int) -> Value | None:
    """What some backends answer with the tensor itself, and the mask that it carries."""
    if not x.is_features:
        return None
    sizes, axes = ", ".join(_sizes(x, number)), [*range(x.rank)]
    ways = (
        f"{x}[:]",
        f"{x}[..., :]",
        f"ops.reshape({x}, ({sizes}))",
        f"ops.reshape(ops.reshape({x}, (-1, {x.width})), ({sizes}))",
        f"ops.transpose({x}, {axes})",
        f"ops.transpose(ops.transpose({x}, {axes[::-1]}), {axes[::-1]})",
        f"ops.swapaxes({x}, -1, {x.rank - 1})",
        f"ops.moveaxis({x}, {axes}, {axes})",
        f"ops.concatenate([{x}], axis=-1)",
        f"ops.broadcast_to({x}, ({sizes}))",
        f"ops.expand_dims({x}, ())",
        f"ops.copy({x})" if keras.backend.backend() == "tensorflow" else f"+{x}",
    )
    return w.value(ways[number % len(ways)], x)


STEPS = (
    *(flattened, reshaped, heads, merged_into_batch, transposed, sliced, sliced_time, split, joined, stacked),
    *(unstacked, positions, class_token, sizes_as_numbers, einsum, gathered, axes_of_one, sizes_compared),
    *(moved_nowhere,),
)
