"""Functions of numbers, weights on either side of an operator, casts, comparisons."""

import keras

from tests.random_models.values import Value, broadcast
from tests.random_models.writing import Writer

ON_TORCH = keras.backend.backend() == "torch"

ACTIVATIONS = (
    *("ops.relu({x})", "ops.tanh({x})", "ops.sigmoid({x})", "ops.gelu({x})", "keras.activations.silu({x})"),
    *("ops.softplus({x})", "keras.activations.get('elu')({x})", "ops.leaky_relu({x}, 0.1)"),
    *("ops.hard_sigmoid({x})", "ops.relu6({x})", "ops.gelu({x}, approximate=False)", "ops.log_sigmoid({x})"),
)
NUMBERS = (
    *("{x} + 1", "1.5 - {x}", "{x} / 2", "-{x}", "abs({x})", "{x} * 0.5 + 0.25", "1.0 / (1.0 + {x} * {x})"),
    *("ops.square({x}) * 0.1", "ops.clip({x}, -1.0, 1.0)", "ops.tanh({x} ** 2)", "ops.sin({x}) * 0.5"),
    "ops.log1p(ops.abs({x}))",
)
OF_TWO = (
    *("{x} + {y}", "{x} - {y} * 0.5", "ops.add({x}, {y})", "{x} * ops.tanh({y})", "ops.maximum({x}, {y})"),
    *("ops.minimum({x}, 0.5 * {y})", "{x} / (1.0 + ops.abs({y}))", "ops.where({x} > {y}, {x}, -{y})"),
    *("keras.layers.Add()([{x}, {y}])", "ops.subtract({y}, {x})", "ops.logaddexp({x}, {y})"),
    "ops.multiply(0.5, {x} + {y})",
)
WITH_WEIGHT = (
    *(
        "{x} * {w}",
        "{w} * {x}",
        "{w} - {x}",
        "{x} + {w}",
        "ops.multiply({w}, {x})",
        "{x} / (1.0 + {w} * {w})",
    ),
    *("ops.exp({w} * 0.1) * {x}", "{x} * ops.softmax({w})", "{x} * (1.0 + {w}) + {w}", "ops.tanh({w}) + {x}"),
    *("{x} - ops.mean({w})", "ops.maximum({x}, {w})"),
)
WITH_KERNEL = (
    *("ops.matmul({x}, {k})", "{x} @ {k}", "ops.dot({x}, {k})", "ops.matmul({x}, {k} * 0.5)"),
    *("ops.matmul({x}, {k} / (ops.norm({k}) + 1.0))", "ops.tensordot({x}, {k}, axes=1)"),
    *(
        "ops.einsum('...i,ij->...j', {x}, {k})",
        "ops.matmul({x}, ops.transpose(ops.reshape({k}, ({m}, {n}))))",
    ),
    *("ops.matmul({x}, ops.concatenate([{k}[:, :1], {k}[:, 1:]], axis=1))", "ops.matmul({x}, {k}) + {k}[0]"),
    *("ops.matmul({x}, ops.tanh({k})) * ops.sum({k}, axis=0)", "ops.relu(ops.matmul({x}, {k}) + 0.5)"),
)
CONSTANTS = (
    *(
        "{x} + np.linspace(0, 1, {n}, dtype='float32')",
        "{x} * ops.ones(({n},))",
        "ops.arange({n}, dtype='float32') - {x}",
    ),
    *("{x} + ops.convert_to_tensor({many}, dtype='float32')", "ops.linspace(0.0, 1.0, {n}) * {x}"),
    *("{x} + ops.eye({n})[0]", "{x} * np.float32(0.5)", "np.arange({n}, dtype='float32') * {x}"),
    # As NumPy makes them: of double precision, or whole numbers.
    *("{x} * np.linspace(0, 1, {n})", "{x} - np.arange({n})", "{x} / (1.0 + np.arange({n}))"),
    *("np.array({many}) + {x}", "{x} * np.float64(0.3) + np.array(2)", "np.float64(0.5) * {x} - np.int64(1)"),
    *(
        "ops.tanh({x} * np.array({many})) ** np.array(2.0)",
        "ops.where({x} > np.array(0.1), {x}, np.float32(0.5))",
    ),
)
COMPARISONS = (
    *(
        "{x} > 0.0",
        "ops.greater({x}, 0.3)",
        "ops.logical_not({x} <= 0.1)",
        "ops.less({x}, 0.2)",
        "({x} > 0) & ({x} < 1)",
    ),
    *("ops.logical_or({x} > 0.5, {x} < -0.5)", "ops.isfinite({x})", "0.1 < {x}"),
)
CASTS = (
    *(
        "ops.cast({x}, 'float16')",
        "ops.cast({x} * 3, 'int32')",
        "ops.cast({x} > 0, 'int32')",
        "ops.cast({x}, 'bfloat16')",
    ),
)
BACK = (
    *("ops.cast({x}, 'float32')", "ops.cast({x}, 'float32') * 0.5", "keras.ops.cast(x={x}, dtype='float32')"),
    "ops.where(ops.cast({x}, 'bool'), 1.0, 0.25)",
)
ALONG = (
    *("ops.softmax({x}, axis={a})", "ops.cumsum({x}, axis={a}) * 0.2", "ops.log_softmax({x}, axis={a})"),
    *("{x} - ops.mean({x}, axis={a}, keepdims=True)", "ops.sort({x}, axis={a})", "ops.flip({x}, axis={a})"),
    *("{x} / (1.0 + ops.max(ops.abs({x}), axis={a}, keepdims=True))", "ops.normalize({x} + 2.0, axis={a})"),
    *(
        "{x} * ops.rsqrt(ops.mean(ops.square({x}), axis={a}, keepdims=True) + 1e-3)",
        "ops.roll({x}, 1, axis={a})",
    ),
    *("({x} - ops.mean({x}, {a}, keepdims=True)) / ops.sqrt(ops.var({x}, {a}, keepdims=True) + 0.1)",),
    *("{x} - ops.logsumexp({x}, axis={a}, keepdims=True)",),
)
REDUCED = ("mean", "sum", "max", "min", "var", "logsumexp", "median", "amax", "std")


def _chosen(ways: tuple[str, ...], number: int) -> str:
    return ways[number % len(ways)]


def activation(w: Writer, x: Value, number: int) -> Value | None:
    return w.value(_chosen(ACTIVATIONS, number).format(x=x), x) if x.is_float else None


def with_number(w: Writer, x: Value, number: int) -> Value | None:
    return w.value(_chosen(NUMBERS, number).format(x=x), x) if x.is_float else None


def of_two(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    shape = broadcast(x.shape, y.shape)
    if shape is None or not (x.is_float and y.is_float):
        return None
    expression = _chosen(OF_TWO, number).format(x=x, y=y)
    if "layers.Add" in expression and x.shape != y.shape:
        return None
    return w.value(expression, x.of_shape(shape))


def with_weight(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    return w.value(_chosen(WITH_WEIGHT, number).format(x=x, w=w.weight((x.width,))), x)


def with_kernel(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    way, width = _chosen(WITH_KERNEL, number), 3 + number % 2
    k = w.weight((x.width, width))
    if "transpose" in way:
        k = w.weight((width, x.width))
    expression = way.format(x=x, k=k, n=x.width, m=width)
    return w.value(expression, x.of_shape((*x.shape[:-1], width)))


def with_constant(w: Writer, x: Value, number: int) -> Value | None:
    way = _chosen(CONSTANTS, number)
    # PyTorch leaves `array * tensor` to NumPy, which refuses tensors that are trained.
    if not x.is_features or (ON_TORCH and "np." in way):
        return None
    many = [round(0.1 * i, 1) for i in range(x.width)]
    return w.value(way.format(x=x, n=x.width, many=many), x)


def comparison(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_float:
        return None
    return w.value(_chosen(COMPARISONS, number).format(x=x), Value("", x.shape, "bool"))


def chosen_by_mask(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    shape = broadcast(x.shape, y.shape)
    if not x.is_float or y.dtype != "bool" or shape != x.shape:
        return None
    ways = ("ops.where({y}, {x}, 0.5)", "{x} * ops.cast({y}, {x}.dtype)", "ops.where({y}, -{x}, {x} * 0.5)")
    return w.value(_chosen(ways, number).format(x=x, y=y), x)


def cast(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_float:
        return None
    expression = _chosen(CASTS, number).format(x=x)
    return w.value(expression, Value("", x.shape, expression.split("'")[1]))


def cast_back(w: Writer, x: Value, number: int) -> Value | None:
    if x.dtype in ("float32", "string"):
        return None
    return w.value(_chosen(BACK, number).format(x=x), Value("", x.shape))


def along(w: Writer, x: Value, number: int) -> Value | None:
    """Something along one axis that is not the batch."""
    if not (x.is_float and x.is_batched and x.rank > 1):
        return None
    axis = number % (x.rank - 1) + 1
    return w.value(_chosen(ALONG, number).format(x=x, a=axis if number % 2 else axis - x.rank), x)


def reduced(w: Writer, x: Value, number: int) -> Value | None:
    """One axis, or all but the batch and the features, becomes a number."""
    if not (x.is_float and x.is_batched and x.rank > 2):
        return None
    axis = number % (x.rank - 1) + 1
    keep = number % 3 == 0
    left = tuple(1 if i == axis else dim for i, dim in enumerate(x.shape) if keep or i != axis)
    expression = f"ops.{_chosen(REDUCED, number)}({x}, axis={axis}{', keepdims=True' if keep else ''})"
    return w.value(expression, x.of_shape(left))


def positions_of_largest(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    ways = (
        f"ops.one_hot(ops.argmax({x}, axis=-1), {x.width})",
        f"ops.take_along_axis({x}, ops.argsort({x}, axis=-1), axis=-1)",
        f"ops.stop_gradient({x}) * 0.5 + {x}",
        f"ops.cast(ops.argmin({x}, axis=-1), 'float32')[..., None] + {x}",
        f"ops.top_k({x}, {x.width})[0]",
    )
    return w.value(_chosen(ways, number), x)


STEPS = (
    *(activation, with_number, of_two, with_weight, with_kernel, with_constant, comparison, chosen_by_mask),
    *(cast, cast_back, along, reduced, positions_of_largest),
)
