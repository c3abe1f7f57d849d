"""Control flow: of Keras, and of Python."""

from tests.random_models.values import Value
from tests.random_models.writing import Writer


def cond(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    name = w.layer(f"layers.Dense({x.width})") if number % 4 == 1 else ""
    scale = w.weight((x.width,)) if number % 4 == 2 else ""
    sides = (
        (f"lambda: {x} * 2.0", f"lambda: {x} - 1.0"),
        (f"lambda: {name}({x})", f"lambda: {x}"),
        (f"lambda: {x} * {scale}", f"lambda: ops.tanh({x})"),
        (f"lambda: ops.relu({x})", f"lambda: ops.zeros_like({x})"),
    )[number % 4]
    asked = (f"ops.sum({x}) > 0", f"ops.any({x} > 1.0)", f"ops.mean({x}[0]) < 0.1")[number % 3]
    return w.value(f"ops.cond({asked}, {', '.join(sides)})", x)


def while_loop(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    ways = (
        f"ops.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, ops.tanh(h + {x})), (0, {x}))[1]",
        f"ops.while_loop(lambda h, n: n < 2, lambda h, n: (h / 2, n + 1), ({x}, ops.zeros((), 'int32')))[0]",
        f"ops.while_loop(lambda i, h: i < 5, lambda i, h: (i + 1, h + 1), (0, {x}), maximum_iterations=2)[1]",
    )
    return w.value(ways[number % 3], x)


def fori_loop(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    ways = (
        f"ops.fori_loop(0, 3, lambda i, h: ops.tanh(h) + 0.1, {x})",
        f"ops.fori_loop(0, 2, lambda i, h: h * 0.5 + ops.cast(i, h.dtype), {x})",
    )
    return w.value(ways[number % 2], x)


def scan(w: Writer, x: Value, number: int) -> Value | None:
    """Along time."""
    if not x.is_sequence:
        return None
    moved = w.value(f"ops.moveaxis({x}, 1, 0)", x)
    last, each = w.name("last"), w.name("each")
    bodies = ("(c * 0.5 + s, c + s)", "(ops.tanh(c + s), ops.tanh(c + s))", "(c + s, s * 2.0)")
    w.line(
        f"{last}, {each} = ops.scan(lambda c, s: {bodies[number % 3]}, ops.zeros_like({moved}[0]), {moved})"
    )
    return w.value(f"ops.moveaxis({each}, 0, 1) + {last}[:, None]", x)


def mapped(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    ways = (
        f"ops.map(lambda row: ops.tanh(row) * 0.5, {x})",
        f"ops.vectorized_map(lambda row: row - ops.mean(row), {x})",
        f"ops.map(lambda row: row - ops.max(row), {x})",
        f"ops.associative_scan(lambda a, b: a + b, {x}, axis=-1) * 0.2",
    )
    return w.value(ways[number % 4], x)


def switch(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    index = f"ops.cast(ops.clip(ops.sum({x}), 0, 2), 'int32')"
    sides = "[lambda v: v, lambda v: v * 0.5, lambda v: ops.tanh(v)]"
    return w.value(f"ops.switch({index}, {sides}, {x})", x)


def python_loop(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    h, name = w.value(f"{x}", x), w.layer(f"layers.Dense({x.width}, activation='tanh')")
    ways = (
        f"for _ in range(2):\n    {h} = {name}({h}) + {h}",
        f"for i, scale in enumerate((0.5, 0.25)):\n    {h} = {h} * scale + i\n{h} = {name}({h})",
        f"count = 0\nwhile count < 2:\n    {h} = {name}({h})\n    count += 1",
        f"for step in [ops.tanh, {name}, lambda v: v * 0.5]:\n    {h} = step({h})",
    )
    w.line(ways[number % 4])
    return h


def layers_in_a_loop(w: Writer, x: Value, number: int) -> Value | None:
    """A list of layers that `call` goes through, and a dict of them."""
    if not x.is_features:
        return None
    name, h = w.name("many"), w.value(f"{x}", x)
    code = f"layers.Dense({x.width}, activation='tanh')"
    if number % 2:
        w.made.append(f"self.{name} = {{key: {code} for key in ('up', 'down')}}")
        w.line(f"for key, layer in self.{name}.items():\n    {h} = {h} + layer({h})")
    else:
        w.made.append(f"self.{name} = [{code}, layers.LayerNormalization()]")
        w.line(f"for layer in self.{name}:\n    {h} = layer({h})")
    return h


STEPS = (cond, while_loop, fori_loop, scan, mapped, switch, python_loop, layers_in_a_loop)
