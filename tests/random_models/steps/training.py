"""Branches on `training`, dropout, BatchNormalization in its ways, random layers."""

from tests.random_models.values import Value
from tests.random_models.writing import Writer

NORM = "layers.BatchNormalization(momentum=0.5)"
RANDOM = (
    *("layers.Dropout(0.5, seed=1)", "layers.GaussianNoise(0.3, seed=2)", "layers.Dropout(0.3)"),
    *(
        "layers.GaussianDropout(0.3, seed=3)",
        "layers.AlphaDropout(0.2, seed=4)",
        "layers.SpatialDropout1D(0.4, seed=5)",
    ),
)
BRANCHES = (
    *("    {h} = {x} * 0.5", "    {h} = ops.tanh({x}) + 1.0", "    {h} = {layer}({x})"),
    *(
        "    {h} = {x} + keras.random.normal(ops.shape({x}), seed=3)",
        "    {h} = {norm}({x}, training=training)",
    ),
)


def batch_norm(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    ways = (
        "",
        ", training=False",
        ", training=True",
        *([", training=training"] * 2 if w.knows_training else [""]),
    )
    return w.value(f"{w.layer(NORM)}({x}{ways[number % len(ways)]})", x)


def batch_norm_twice(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    name = w.layer(NORM)
    first = w.value(f"{name}({x})", x)
    return w.value(f"{name}({first} * 0.5) + {first}", x)


def random_layer(w: Writer, x: Value, number: int) -> Value | None:
    code = RANDOM[number % len(RANDOM)]
    if not x.is_features or ("Spatial" in code and not x.is_sequence):
        return None
    ways = ("", "", ", training=True", ", training=training" if w.knows_training else "")
    return w.value(f"{w.layer(code)}({x}{ways[number // 3 % len(ways)]})", x)


def draws(w: Writer, x: Value, number: int) -> Value | None:
    """Numbers drawn in `call`, from a generator of the layer or by a seed that is a number."""
    if not x.is_features:
        return None
    seed = w.layer("keras.random.SeedGenerator(5)", "seed") if number % 2 else str(number)
    ways = (
        f"{x} + keras.random.normal(ops.shape({x}), seed={seed})",
        f"{x} * keras.random.uniform(({x.width},), seed={seed})",
        f"keras.random.dropout({x}, 0.4, seed={seed})",
        f"ops.where(keras.random.uniform(ops.shape({x}), seed={seed}) > 0.5, {x}, 0.0)",
    )
    return w.value(ways[number // 2 % len(ways)], x)


def branch(w: Writer, x: Value, number: int) -> Value | None:
    """Two sides, of which training takes one."""
    if not w.knows_training or not x.is_features:
        return None
    sides = BRANCHES[number % len(BRANCHES)], BRANCHES[number // 3 % len(BRANCHES)]
    text = "\n".join(("if training:", sides[0], "else:", sides[1]))
    h = x.of_shape(x.shape)
    names = {"h": w.name("side")}
    names["layer"] = w.layer(f"layers.Dense({x.width})") if "{layer}" in text else ""
    names["norm"] = w.layer(NORM) if "{norm}" in text else ""
    w.line(text.format(x=x, **names))
    return w.value(names["h"], h)


def only_in_training(w: Writer, x: Value, number: int) -> Value | None:
    if not w.knows_training or not x.is_features:
        return None
    ways = (
        "{h} = {h} + 0.1 * ops.mean({h}, axis=0, keepdims=True)",
        "{h} = {drop}({h}, training=training)",
        "{h} = {norm}({h}, training=True)",
        "{h} = keras.random.dropout({h}, 0.3, seed=11)",
    )
    text, h = ways[number % len(ways)], w.value(f"{x} * 1.0", x)
    drop = w.layer("layers.Dropout(0.4, seed=6)") if "{drop}" in text else ""
    norm = w.layer(NORM) if "{norm}" in text else ""
    asked = ("if training:", "if training is not None and training:", "if bool(training):")[number % 3]
    w.line(f"{asked}\n    {text.format(h=h, drop=drop, norm=norm)}")
    return h


def chosen_by_training(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not w.knows_training or x.shape != y.shape or x.dtype != y.dtype:
        return None
    ways = ("{x} if training else {y}", "{y} if not training else {x}", "({y}, {x})[bool(training)]")
    return w.value(ways[number % len(ways)].format(x=x, y=y), x)


def own_gradient(w: Writer, x: Value, number: int) -> Value | None:
    """A function whose gradient is the user's."""
    # Rare: in the outermost `call` it is refused.
    if not x.is_features or number % 3:
        return None
    return w.value(("rounded({x})", "{x} + rounded({x}) * 0.5")[number % 2].format(x=x), x)


STEPS = (
    *(batch_norm, batch_norm_twice, random_layer, draws, branch, only_in_training, chosen_by_training),
    own_gradient,
)
