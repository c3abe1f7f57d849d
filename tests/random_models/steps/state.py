"""Variables that are assigned, losses and metrics."""

from tests.random_models.values import Value
from tests.random_models.writing import Writer

NOT_TRAINED = "trainable=False"


def counter(w: Writer, x: Value, number: int) -> Value | None:
    """The number of calls, of those in training, or of those before."""
    if not x.is_float:
        return None
    step = w.weight((), options=f"{NOT_TRAINED}, dtype='int32'", initializer="'zeros'", stem="step")
    if w.knows_training and number % 2:
        w.line(f"if training:\n    {step}.assign_add(1)")
    else:
        w.line(f"{step}.assign({step} + 1)")
    return w.value(f"{x} * ops.cast({step} + 1, {x}.dtype)", x)


def moving_average(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    mean = w.weight((x.width,), options=NOT_TRAINED, initializer="'zeros'", stem="mean")
    axes = tuple(range(x.rank - 1))
    before = w.value(f"{x} - {mean}", x)
    update = f"{mean}.assign({mean} * 0.9 + 0.1 * ops.mean({x}, axis={axes}))"
    w.line(f"if training:\n    {update}" if w.knows_training and number % 2 else update)
    return w.value(f"{before} + ops.tanh({mean})", x) if number % 3 else before


def memory(w: Writer, x: Value, number: int) -> Value | None:
    """What the last call left is read, written and read again."""
    if not x.is_features:
        return None
    held = w.weight((x.width,), options=NOT_TRAINED, stem="held")
    old = w.value(f"{held} * 1.0" if number % 2 else f"ops.copy({held})", Value("", (x.width,)))
    w.line(f"{held}.assign(ops.tanh({held} + 1.0))")
    if number % 3 == 0:
        w.line(f"{held}.assign_sub({held} * 0.5)")
    return w.value(f"{x} + {old} * {held}", x)


def loss(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_float:
        return None
    added = (
        f"self.add_loss(0.01 * ops.mean(ops.square({x})))",
        f"self.add_loss(ops.sum(ops.abs({x})) * 1e-3)",
        f"self.add_loss([ops.mean({x}), 0.1 * ops.max({x})])",
    )[number % 3]
    w.line(f"if training:\n    {added}" if w.knows_training and number % 2 else added)
    return x


def activity_regularizer(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    codes = (
        "layers.ActivityRegularization(l2=0.01)",
        f"layers.Dense({x.width}, activity_regularizer=keras.regularizers.L2(0.01))",
        "layers.Activation('tanh', activity_regularizer='l1')",
    )
    return w.value(f"{w.layer(codes[number % 3])}({x})", x)


def regularized_weight(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    name = w.weight((x.width,), options="regularizer=keras.regularizers.L2(0.01), constraint='non_neg'")
    return w.value(f"{x} * {name}", x)


def metric(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_float:
        return None
    name = w.name("metric")
    kind = ("Mean", "Sum")[number % 2]
    w.made.append(f"self.{name} = keras.metrics.{kind}(name={name!r})")
    w.line(f"self.{name}.update_state(ops.abs({x}))")
    return x


STEPS = (counter, moving_average, memory, loss, activity_regularizer, regularized_weight, metric)
