"""What Python code passes about: words, numbers, dicts, None, functions, methods."""

from tests.random_models.values import Value, broadcast
from tests.random_models.writing import Writer

HELPERS = '''
def helper(x, scale=1.0, how="add", **more):
    """What the code of a user keeps beside its classes."""
    y = ops.tanh(x) if how == "tanh" else x + scale
    return {"y": y, "none": None, "name": how, **more}


def noted(function):
    @functools.wraps(function)
    def inner(self, *args, **kwargs):
        return function(self, *args, **kwargs)

    return inner


@dataclasses.dataclass
class Pair:
    first: object
    second: object = None
    name: str = "pair"


Named = collections.namedtuple("Named", ["x", "size"])


@keras.saving.register_keras_serializable("made")
class Cell(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = units
        self.dense = layers.Dense(units)

    def build(self, shape):
        self.kernel = self.add_weight(shape=(self.state_size,) * 2, name="kernel")
        self.dense.build(shape)

    def call(self, x, states):
        h = ops.tanh(self.dense(x) + ops.matmul(states[0], self.kernel))
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.state_size}


@ops.custom_gradient
def rounded(x):
    def grad(*args, upstream=None):
        return args[0] if upstream is None else upstream

    return ops.round(x * 4.0) / 4.0, grad
'''
"""The functions and classes of each module that is written."""


def helper(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_float:
        return None
    ways = (
        f"helper({x})['y']",
        f"helper({x}, how='tanh', extra={x})['y']",
        f"helper({x}, **{{'scale': 0.5, 'how': 'add'}})['y']",
        f"functools.partial(helper, scale=2)({x}).get('y')",
        f"helper(x={x}, how=('tanh', 'add')[{number % 2}])['y'] * 0.5",
    )
    return w.value(ways[number % 5], x)


def bundled(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    shape = broadcast(x.shape, y.shape)
    if not (x.is_float and y.is_float) or shape is None:
        return None
    bundle = w.name("bundle")
    made, used = (
        (f"Pair({x}, second={y})", "{b}.first + {b}.second"),
        (f"Named({x}, {y})", "{b}.x - {b}.size * 0.5"),
        (f"{{'x': {x}, 'y': [{y}, None]}}", "{b}['x'] + {b}['y'][0]"),
        (f"[t for t in ({x}, None, {y}) if t is not None]", "sum({b})"),
        (f"dict(zip(('x', 'y'), ({x}, {y})))", "ops.add(*{b}.values())"),
        (f"({x}, ({y}, 'word', 3))", "{b}[0] * {b}[1][2] + {b}[1][0]"),
    )[number % 6]
    w.line(f"{bundle} = {made}")
    return w.value(used.format(b=bundle), x.of_shape(shape))


def tree(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not x.is_float or x.shape != y.shape or x.dtype != y.dtype:
        return None
    found = w.name("tree")
    w.line(f"{found} = keras.tree.map_structure(lambda v: v * 0.5, {{'x': {x}, 'y': ({y},)}})")
    return w.value(f"{found}['x'] + {found}['y'][0]", x)


def method(w: Writer, x: Value, number: int) -> Value | None:
    """A function that the layer keeps, or makes."""
    if not x.is_float:
        return None
    name = w.name("function")
    made = (
        "lambda v: v * 0.5",
        "ops.tanh",
        "keras.activations.get('gelu')",
        "functools.partial(ops.clip, x_min=-1, x_max=1)",
    )
    w.made.append(f"self.{name} = {made[number % 4]}")
    return w.value(f"self.{name}({x})", x)


def number_of_the_layer(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_float:
        return None
    name = w.name("setting")
    values = ("0.5", "3", "'tanh'", "None", "{'scale': 0.25}", "(1, 2)")
    used = (
        "{x} * {s}",
        "{x} + {s}",
        "getattr(ops, {s})({x})",
        "{x} if {s} is None else -{x}",
        "{x} * {s}['scale']",
        "{x} * {s}[0] / {s}[-1]",
    )
    w.made.append(f"self.{name} = {values[number % 6]}")
    return w.value(used[number % 6].format(x=x, s=f"self.{name}"), x)


def in_place(w: Writer, x: Value, number: int) -> Value | None:
    """`+=` gives a new tensor a known name."""
    if not x.is_features:
        return None
    h = w.value(f"ops.copy({x})" if number % 2 else f"{x} * 1.0", x)
    w.line(
        ("{h} += 0.5", "{h} *= {x}", "{h} -= ops.mean({h}, axis=-1, keepdims=True)", "{h} /= 2")[
            number % 4
        ].format(h=h, x=x)
    )
    return h


def tried(w: Writer, x: Value, number: int) -> Value | None:
    """Code that asks before it acts."""
    if not x.is_features:
        return None
    h = w.value(f"{x}", x)
    ways = (
        f"try:\n    {h} = helper({h}, scale=0.5)['missing']\nexcept KeyError:\n    {h} = {h} * 2.0",
        f"assert len({h}.shape) == {x.rank}, 'a rank'\n{h} = {h} + 1.0",
        f"if {h} is not None:\n    {h} = {h} * 0.5",
        f"with keras.name_scope('scope'):\n    {h} = {h} * 0.5",
        f"{h} = {h} * (0.5 if keras.backend.standardize_dtype({h}.dtype) == 'float32' else 1.0)",
        f"if isinstance({h}, (list, tuple)):\n    {h} = {h}[0]",
        f"{h} = {h} if hasattr(self, 'missing') else {h} + 0.25",
    )
    w.line(ways[number % 7])
    return h


def decided_by_value(w: Writer, x: Value, number: int) -> Value | None:
    """Python asks for the value of a tensor, or NumPy draws: what no graph can say."""
    if not x.is_features:
        return None
    h = w.value(f"{x}", x)
    ways = (
        f"if ops.sum({h}) > -1e6:\n    {h} = {h} + 0.5",
        f"{h} = {h} * (1.0 if float(ops.convert_to_numpy(ops.sum(ops.stop_gradient({h})))) < 1e6 else 0.5)",
        f"{h} = {h} + np.random.uniform()",
    )
    w.line(ways[number % 3])
    return h


def counted_in_python(w: Writer, x: Value, number: int) -> Value | None:
    """An attribute that `call` sets, which no result depends on, or one does."""
    if not x.is_features:
        return None
    name = w.name("calls")
    w.made.append(f"self.{name} = 0")
    w.line(f"self.{name} = self.{name} + 1")
    return w.value(f"{x} * 0.5" if number % 2 else f"{x} * (1.0 if self.{name} > 0 else 0.5)", x)


STEPS = (
    *(helper, bundled, tree, method, number_of_the_layer, in_place, tried),
    *(decided_by_value, counted_in_python),
)
