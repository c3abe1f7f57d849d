"""Arguments and outputs: which structures go into a call, and which come out of it."""

import collections
import enum

import keras
from keras import ops

from zoo.case import (
    Case,
    around_one,
    case,
    case_since_keras,
    floats,
    functional,
    integers,
    layer_normalization,
)


class Gate(keras.layers.Layer):
    """Multiplies features by a gate computed from a context of another width."""

    def __init__(self, width):
        """Makes the sublayers."""
        super().__init__()
        self.features = keras.layers.Dense(width)
        self.gate = keras.layers.Dense(width, activation="sigmoid")

    def call(self, x, context):
        """Returns features of the chosen width."""
        return self.features(x) * self.gate(context)


# --- Inputs of the model -------------------------------------------------------------------


@case
def list_of_inputs():
    """The model takes a list of two tensors."""

    class TakesList(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)

        def call(self, inputs):
            return self.gate(inputs[0], inputs[1])

    return Case(TakesList(), [floats(3, 4), floats(3, 5, seed=1)])


@case
def tuple_of_inputs():
    """The model takes a tuple of three tensors and unpacks it."""

    class TakesTuple(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)
            self.last = keras.layers.Dense(6)

        def call(self, inputs):
            x, context, residual = inputs
            return self.gate(x, context) + self.last(residual)

    return Case(TakesTuple(), (floats(3, 4), floats(3, 5, seed=1), floats(3, 7, seed=2)))


@case
def dict_of_inputs():
    """The model takes a dict whose keys are not in alphabetical order."""

    class TakesDict(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)

        def call(self, inputs):
            return self.gate(inputs["x"], inputs["context"])

    return Case(TakesDict(), {"x": floats(3, 4), "context": floats(3, 5, seed=1)})


@case
def nested_inputs():
    """The model takes a dict of a list of a tensor and a tuple."""

    class TakesNested(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)
            self.last = keras.layers.Dense(6)

        def call(self, inputs):
            x, (context, residual) = inputs["sequence"]
            return self.gate(x, context) + self.last(residual) * inputs["scale"]

    pair = (floats(3, 5, seed=1), floats(3, 7, seed=2))
    return Case(TakesNested(), {"sequence": [floats(3, 4), pair], "scale": floats(3, 1, seed=3)})


@case
def dict_of_one_input():
    """The model takes a dict of a single tensor and returns a list of a single tensor."""

    class TakesOne(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, inputs):
            return [self.dense(inputs["only"])]

    return Case(TakesOne(), {"only": floats(3, 5)})


@case
def functional_model_with_dict_inputs():
    """A Functional model takes a dict and holds a custom layer of two arguments."""
    inputs = {"x": keras.Input((4,), name="x"), "context": keras.Input((5,), name="context")}
    model = keras.Model(inputs, {"gated": Gate(6)(inputs["x"], inputs["context"])})
    example = {"x": floats(3, 4), "context": floats(3, 5, seed=1)}
    return Case(model, example, needs_input=False)


# --- Keyword arguments ---------------------------------------------------------------------


@case
def keyword_tensor_at_the_top():
    """The model takes a second tensor by keyword."""

    class TakesKeyword(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)

        def call(self, x, context):
            return self.gate(x, context)

    return Case(TakesKeyword(), floats(3, 4), {"context": floats(3, 5, seed=1)})


@case
def keyword_only_tensors_at_the_top():
    """The model takes two keyword-only tensors, one of them of integers."""

    class TakesKeywords(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)
            self.embedding = keras.layers.Embedding(9, 5)

        def call(self, x, *, label, residual=None):
            gated = self.gate(x, self.embedding(label))
            return gated if residual is None else gated + residual

    keywords = {"label": integers(3, below=9), "residual": floats(3, 6, seed=1)}
    return Case(TakesKeywords(), floats(3, 4), keywords)


@case
def python_value_at_the_top():
    """The model takes a Python bool that chooses a branch, next to a tensor."""

    class Invertible(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, context, inverse=False):
            shift = self.dense(context)
            return x - shift if inverse else x + shift

    return Case(Invertible(), floats(3, 4), {"context": floats(3, 5, seed=1), "inverse": True})


@case
def keyword_dict_at_the_top():
    """The model takes a dict of tensors by keyword."""

    class TakesConditions(keras.Model):
        def __init__(self):
            super().__init__()
            self.gate = Gate(6)

        def call(self, x, conditions=None):
            return self.gate(x, conditions["first"] + conditions["second"])

    conditions = {"first": floats(3, 5, seed=1), "second": floats(3, 5, seed=2)}
    return Case(TakesConditions(), floats(3, 4), {"conditions": conditions})


@case
def optional_argument_at_the_top_not_given():
    """The model has an optional tensor argument, which stays `None`."""

    class TakesOptional(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, context=None):
            hidden = self.dense(x)
            return ops.tanh(hidden) if context is None else hidden + context

    return Case(TakesOptional(), floats(3, 5))


@case
def keyword_tensor_between_layers():
    """A layer gets its second tensor by keyword, out of the order of its signature."""

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dense(5)
            self.gate = Gate(6)

        def call(self, x):
            return self.gate(context=x, x=self.first(x))

    return Case(Outer(), floats(3, 4))


@case
def optional_none_between_layers():
    """One layer is called with and without its optional tensor."""

    class Shift(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, context=None, scale=None):
            hidden = self.dense(x)
            if context is not None:
                hidden = hidden + context
            return hidden if scale is None else hidden * scale

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.shift = Shift()

        def call(self, x):
            plain = self.shift(x, None)
            shifted = self.shift(plain, plain, scale=None)
            return self.shift(shifted, None, scale=x)

    return Case(Outer(), floats(3, 4))


@case
def star_args():
    """A layer takes any number of tensors as `*tensors`."""

    class Sum(keras.layers.Layer):
        def build(self, *shapes):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, *tensors):
            total = tensors[0]
            for tensor in tensors[1:]:
                total = total + tensor * self.scale
            return total

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.sum = Sum()

        def call(self, x):
            return self.sum(x, self.dense(x), ops.tanh(x))

    return Case(Outer(), floats(3, 4))


@case
def star_kwargs():
    """A layer hands `**options`, a tensor among them, to another layer."""

    class Inner(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def build(self, *shapes, **more_shapes):
            self.dense.build((None, 4))

        def call(self, x, context=None, scale=None):
            return self.dense(x) * scale + context

    class Forwarding(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()
            # Keras cannot build a layer by itself whose `call` takes `**options`.
            self.inner.build((None, 4))

        def call(self, x, **options):
            return self.inner(x, **options)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.forwarding = Forwarding()

        def call(self, x):
            return self.forwarding(x, scale=ops.cos(x), context=ops.sin(x))

    return Case(Outer(), floats(3, 4))


@case
def python_values_between_layers():
    """Layers get ints, strings, tuples, functions and enum members by keyword."""

    class Kind(enum.Enum):
        SUM = "sum"
        MEAN = "mean"

    class Configurable(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(8)

        def call(self, x, *, shape, activation, kind=Kind.SUM, axis=1, name_of_op="tanh"):
            hidden = getattr(ops, name_of_op)(ops.reshape(self.dense(x), (-1, *shape)))
            reduce = ops.sum if kind is Kind.SUM else ops.mean
            return activation(reduce(hidden, axis=axis))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.configurable = Configurable()

        def call(self, x):
            first = self.configurable(x, shape=(2, 4), activation=ops.sigmoid)
            return self.configurable(first, shape=[4, 2], activation=lambda y: y * 3, kind=Kind.MEAN, axis=2)

    return Case(Outer(), floats(3, 4))


@case_since_keras("3.15")
def list_with_none_between_layers():
    """A layer gets a dict of a list in which tensors and `None` are mixed."""

    class Mixer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, extras=None):
            total = self.dense(x)
            for value in extras["terms"]:
                total = total if value is None else total + value
            return total

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.mixer = Mixer()

        def call(self, x):
            return self.mixer(x, extras={"terms": [ops.tanh(x), None, ops.cos(x)]})

    return Case(Outer(), floats(3, 4))


@case
def nested_structure_between_layers():
    """A layer takes a dict of a tensor and a list of tensors, positionally."""

    class TakesNested(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, inputs):
            first, second = inputs["pair"]
            return self.dense(inputs["x"]) * first - second

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = TakesNested()

        def call(self, x):
            return self.inner({"x": x, "pair": [ops.cos(x), ops.sin(x)]})

    return Case(Outer(), floats(3, 4))


@case
def default_argument_from_an_attribute():
    """A default value in the signature is a function, and an attribute is a Python list."""

    class Defaulted(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.factors = [1.0, 0.5, 0.25]
            self.dense = keras.layers.Dense(4)

        def build(self, input_shape):
            self.dense.build(input_shape)

        def call(self, x, activation=ops.tanh):
            for factor in self.factors:
                x = activation(self.dense(x) * factor)
            return x

    return Case(functional(Defaulted(), floats(3, 4)), floats(3, 4), needs_input=False)


# --- Outputs -------------------------------------------------------------------------------


@case
def output_tuple():
    """The model returns a tuple."""

    class ReturnsTuple(keras.Model):
        def __init__(self):
            super().__init__()
            self.mean = keras.layers.Dense(4)
            self.scale = keras.layers.Dense(5, activation="softplus")

        def call(self, x):
            return self.mean(x), self.scale(x)

    return Case(ReturnsTuple(), floats(3, 6))


@case
def output_list():
    """The model returns a list of features that a loop collects."""

    class ReturnsList(keras.Model):
        def __init__(self):
            super().__init__()
            self.stages = [keras.layers.Dense(width, activation="tanh") for width in (4, 5, 6)]

        def call(self, x):
            features = []
            for stage in self.stages:
                x = stage(x)
                features.append(x)
            return features

    return Case(ReturnsList(), floats(3, 7))


@case
def output_dict():
    """The model returns a dict whose keys are not in alphabetical order."""

    class ReturnsDict(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(5)

        def call(self, x):
            logits = self.head(x)
            return {"probabilities": ops.softmax(logits), "logits": logits}

    return Case(ReturnsDict(), floats(3, 4))


@case
def output_nested():
    """The model returns a dict of a list of a tensor and a tuple."""

    class ReturnsNested(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            y = self.dense(x)
            return {"features": [y, (ops.exp(y), ops.tanh(y))], "norm": ops.sum(y * y, axis=-1)}

    return Case(ReturnsNested(), floats(3, 5))


@case
def output_with_none():
    """The model returns `None` for something that was not computed."""

    class ReturnsNone(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return {"logits": self.dense(x), "hidden_states": None}

    return Case(ReturnsNone(), floats(3, 5))


@case
def inner_output_with_none():
    """An inner layer returns a tuple with `None` inside."""

    class Attention(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, return_scores=False):
            y = self.dense(x)
            return y, (ops.softmax(y) if return_scores else None)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = Attention()

        def call(self, x):
            first, nothing = self.attention(x)
            second, scores = self.attention(first, return_scores=True)
            return second * scores if nothing is None else nothing

    return Case(Outer(), floats(3, 4))


@case
def output_twice():
    """The model returns the same tensor in two places."""

    class ReturnsTwice(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            y = self.dense(x)
            return {"last_hidden_state": y, "hidden_states": [ops.tanh(y), y]}

    return Case(ReturnsTwice(), floats(3, 5))


@case
def output_is_an_input():
    """The model returns one of its inputs as it is."""

    class PassesThrough(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, inputs):
            return self.dense(inputs["x"]), inputs["label"]

    return Case(PassesThrough(), {"x": floats(3, 5), "label": integers(3, 2, below=9)})


@case
def inner_output_is_its_input():
    """A layer returns its input as it is, next to a new tensor."""

    class KeepsInput(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return x, self.dense(x)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.keeps = KeepsInput()

        def call(self, x):
            same, new = self.keeps(x)
            return same * new

    return Case(Outer(), floats(3, 4))


@case
def identity_block():
    """A block does nothing: its output is its input."""

    class Nothing(keras.layers.Layer):
        def call(self, x):
            return x

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop_path = Nothing()
            self.normalize = layer_normalization()

        def call(self, x):
            return x + self.drop_path(self.normalize(x))

    return Case(Outer(), floats(3, 4))


@case
def named_tuple_between_layers():
    """A layer returns a named tuple, and the next one reads its fields."""
    moments = collections.namedtuple("moments", ["mean", "variance"])

    class Moments(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(6)

        def call(self, x):
            return moments(*ops.moments(self.dense(x), axes=[-1], keepdims=True))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.moments = Moments()

        def call(self, x):
            found = self.moments(x)
            return (x - found.mean) / ops.sqrt(found.variance + 0.1)

    return Case(Outer(), floats(3, 4))


@case
def generator_and_dict_comprehension_in_call():
    """`call` builds its structures with comprehensions, `zip` and `sorted`."""

    class Pyramid(keras.Model):
        def __init__(self):
            super().__init__()
            self.lateral = [keras.layers.Dense(4) for _ in range(3)]

        def call(self, features):
            levels = {
                name: layer(features[name])
                for name, layer in zip(sorted(features), self.lateral, strict=True)
            }
            return sum(level for level in levels.values())

    example = {"p5": floats(3, 7, seed=2), "p3": floats(3, 5), "p4": floats(3, 6, seed=1)}
    return Case(Pyramid(), example)


@case
def dict_out_of_a_layer_kept_whole():
    """Keras gives the keys in the order of the layer or, where it asks JAX, sorted."""

    class Counted(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seen = keras.metrics.Mean(name="seen")

        def call(self, x):
            self.seen.update_state(ops.mean(x))
            return {"second": 2.0 * x, "first": x + self.seen.result()}

        def compute_output_spec(self, x):
            return {k: keras.KerasTensor((None, *x.shape[1:]), x.dtype) for k in ("second", "first")}

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.counted = Counted()

        def call(self, x):
            results = self.counted(x)
            return ops.concatenate([results["first"], ops.exp(results["second"])], axis=-1)

    return Case(Net(), floats(3, 4), expect_opaque=("Counted",))
