"""Structure: how layers are nested, shared, stored and named."""

import keras
from keras import ops

from zoo.case import (
    VOCABULARY,
    Case,
    around_one,
    batch_normalization,
    case,
    floats,
    functional,
    layer_normalization,
    tokens,
)


class Scale(keras.layers.Layer):
    """Multiplies by a weight for each feature."""

    def build(self, input_shape):
        """Makes the weight."""
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

    def call(self, x):
        """Returns the scaled features."""
        return x * self.scale


class ResidualBlock(keras.layers.Layer):
    """A residual block of two Dense layers."""

    def __init__(self, width, hidden=8, **options):
        """Makes the sublayers."""
        super().__init__(**options)
        self.expand = keras.layers.Dense(hidden, activation="relu")
        self.contract = keras.layers.Dense(width)

    def call(self, x):
        """Returns the input plus its transformation."""
        return x + self.contract(self.expand(x))


def classifier(width, classes=5):
    """A Functional model of two Dense layers."""
    inputs = keras.Input((width,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes)(hidden))


# --- Order and sharing ---------------------------------------------------------------------


@case
def defined_in_another_order():
    """Sublayers of equal shapes are created in the reverse of the order of their calls."""

    class Reversed(keras.Model):
        def __init__(self):
            super().__init__()
            self.third = keras.layers.Dense(4, name="third")
            self.second = keras.layers.Dense(4, activation="relu", name="second")
            self.first = keras.layers.Dense(4, activation="tanh", name="first")

        def call(self, x):
            return self.third(self.second(self.first(x)))

    return Case(Reversed(), floats(3, 4))


@case
def relu_called_twice():
    """One ReLU layer is called at two places."""

    class SharedRelu(keras.Model):
        def __init__(self):
            super().__init__()
            self.relu = keras.layers.ReLU()
            self.first = keras.layers.Dense(8)
            self.second = keras.layers.Dense(4)

        def call(self, x):
            return self.relu(self.second(self.relu(self.first(x))))

    return Case(SharedRelu(), floats(3, 5))


@case
def dropout_called_twice():
    """One Dropout layer is called at two places; its seed advances between them."""

    class SharedDropout(keras.Model):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5)
            self.dense = keras.layers.Dense(8)

        def call(self, x):
            return self.dropout(self.dense(self.dropout(x)))

    return Case(SharedDropout(), floats(3, 5))


@case
def dense_called_twice():
    """One Dense layer is applied to its own output."""

    class SharedDense(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, activation="tanh")

        def call(self, x):
            return self.dense(self.dense(x))

    return Case(SharedDense(), floats(3, 4))


@case
def block_called_twice():
    """One custom block is applied twice: the weights of its sublayers are shared."""

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = ResidualBlock(4)

        def call(self, x):
            return self.block(self.block(x))

    return Case(Twice(), floats(3, 4))


@case
def block_called_in_a_loop():
    """One custom block is called by a Python loop, each time on another shape."""

    class Recurrent(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = ResidualBlock(4)

        def call(self, x):
            for _ in range(3):
                x = ops.concatenate([x, self.block(x[:, -1:])], axis=1)
            return x

    return Case(Recurrent(), floats(3, 7, 4))


@case
def siamese_functional_submodel():
    """One Functional submodel encodes both inputs."""
    encoder = classifier(4)
    left, right = keras.Input((4,)), keras.Input((4,))
    product = keras.layers.Multiply()([encoder(left), encoder(right)])
    model = keras.Model([left, right], keras.layers.Dense(2)(product))
    return Case(model, [floats(3, 4), floats(3, 4, seed=1)], needs_input=False)


@case
def siamese_subclassed_submodel():
    """One subclassed submodel encodes both inputs."""

    class Encoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(8, activation="tanh")
            self.normalize = layer_normalization()

        def call(self, x):
            return self.normalize(self.hidden(x))

    class Siamese(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()

        def call(self, pair):
            left, right = pair
            return ops.sum(self.encoder(left) * self.encoder(right), axis=-1)

    return Case(Siamese(), [floats(3, 4), floats(3, 4, seed=1)])


@case
def one_layer_owned_by_two_blocks():
    """Two blocks hold the same Dense object as an attribute of different names."""

    class First(keras.layers.Layer):
        def __init__(self, shared):
            super().__init__()
            self.project = shared

        def call(self, x):
            return self.project(x) + x

    class Second(keras.layers.Layer):
        def __init__(self, shared):
            super().__init__()
            self.mix = shared

        def call(self, x):
            return self.mix(ops.tanh(x))

    class Sharing(keras.Model):
        def __init__(self):
            super().__init__()
            shared = keras.layers.Dense(4)
            self.first = First(shared)
            self.second = Second(shared)

        def call(self, x):
            return self.second(self.first(x))

    return Case(Sharing(), floats(3, 4))


# --- Nesting and names ---------------------------------------------------------------------


@case
def subclasses_nested_three_deep():
    """A model holds a stage that holds a block that holds a unit."""

    class Unit(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, activation="relu")

        def call(self, x):
            return self.dense(x) * 0.5

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.unit = Unit()
            self.normalize = layer_normalization()

        def call(self, x):
            return self.normalize(x + self.unit(x))

    class Stage(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = Block()
            self.second = Block()

        def call(self, x):
            return self.second(self.first(x))

    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.stage = Stage()
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(self.stage(x))

    return Case(Network(), floats(3, 4))


@case
def automatic_names():
    """Only automatic names: `dense`, `dense_1`; they depend on what was built before."""

    class Unnamed(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(4)

        def call(self, x):
            return ops.relu(self.inner(x))

    class Automatic(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = Unnamed()
            self.b = Unnamed()
            self.c = keras.layers.Dense(4)

        def call(self, x):
            return self.c(self.b(self.a(x)))

    return Case(Automatic(), floats(3, 4))


@case
def equal_inner_names():
    """Every block names its sublayer `projection`, and two blocks have equal names too."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.inner = keras.layers.Dense(4, name="projection")

        def call(self, x):
            return self.inner(x) - x

    class EqualNames(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = Block()
            self.second = Block()
            self.head = keras.layers.Dense(2, name="projection")

        def call(self, x):
            return self.head(self.second(self.first(x)))

    return Case(EqualNames(), floats(3, 4))


@case
def names_that_collide_when_flattened():
    """The paths `a.b_c` and `a_b.c` both flatten to `a_b_c`."""

    class Holder(keras.layers.Layer):
        def __init__(self, attribute):
            super().__init__()
            self.attribute = attribute
            setattr(self, attribute, keras.layers.Dense(4, name="same"))

        def call(self, x):
            return getattr(self, self.attribute)(x)

    class Colliding(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = Holder("b_c")
            self.a_b = Holder("c")

        def call(self, x):
            return self.a_b(ops.tanh(self.a(x)))

    return Case(Colliding(), floats(3, 4))


@case
def nested_functional_models():
    """A Functional model in a Functional model in a Functional model."""
    inner_input = keras.Input((4,))
    inner = keras.Model(inner_input, keras.layers.Dense(8, activation="relu")(inner_input))
    middle_input = keras.Input((4,))
    middle = keras.Model(middle_input, keras.layers.Dense(4)(inner(middle_input)))
    outer_input = keras.Input((4,))
    outer = keras.Model(outer_input, middle(keras.layers.Dense(4)(outer_input)))
    return Case(outer, floats(3, 4), needs_input=False)


@case
def nested_functional_model_with_two_inputs_and_outputs():
    """A nested Functional model takes a dict and returns a dict."""
    left, right = keras.Input((4,), name="left"), keras.Input((5,), name="right")
    both = keras.layers.Concatenate()([left, right])
    outputs = {"sum": keras.layers.Dense(6)(both), "gate": keras.layers.Dense(6)(both)}
    inner = keras.Model({"left": left, "right": right}, outputs)
    outer_left, outer_right = keras.Input((4,)), keras.Input((5,))
    answers = inner({"left": outer_left, "right": outer_right})
    product = keras.layers.Multiply()([answers["sum"], answers["gate"]])
    model = keras.Model([outer_left, outer_right], product)
    return Case(model, [floats(3, 4), floats(3, 5, seed=1)], needs_input=False)


@case
def nested_sequential_models():
    """A Sequential in a Sequential in a Sequential, each with its Input."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.ReLU()])
    middle = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(4)])
    outer = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), middle])
    return Case(outer, floats(3, 4), needs_input=False)


@case
def sequential_in_functional_in_subclass():
    """A subclassed model holds a Functional model that holds a Sequential."""
    sequential = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(4)])
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, keras.layers.Add()([inputs, sequential(inputs)]))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = inner
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(self.body(x))

    return Case(Outer(), floats(3, 4))


@case
def subclass_in_functional():
    """A subclassed model inside a Functional model."""

    class Inner(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return ops.maximum(self.dense(x), 0.1 * x)

    inputs = keras.Input((4,))
    hidden = Inner()(keras.layers.Dense(4)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    return Case(model, floats(3, 4), needs_input=False)


@case
def functional_model_with_operators():
    """A Functional model whose graph holds bare operators."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4)(inputs)
    model = keras.Model(inputs, ops.tanh(hidden * 2.0 + inputs) - 1.0)
    return Case(model, floats(3, 4), needs_input=False)


@case
def subclass_of_a_functional_model():
    """A subclass of `keras.Model` that calls `super().__init__(inputs, outputs)`."""

    class Classifier(keras.Model):
        def __init__(self, width):
            inputs = keras.Input((width,))
            outputs = ResidualBlock(width)(inputs)
            super().__init__(inputs, outputs)

    return Case(Classifier(4), floats(3, 4), needs_input=False)


@case
def subclass_of_a_functional_model_with_its_own_call():
    """A Functional subclass overrides `call` and adds to what `super().call` returns."""

    class Classifier(keras.Model):
        def __init__(self, width):
            inputs = keras.Input((width,))
            super().__init__(inputs, keras.layers.Dense(5)(inputs))
            self.temperature = self.add_weight(shape=(), initializer=around_one())

        def call(self, inputs, training=None, mask=None):
            logits = super().call(inputs, training=training, mask=mask)
            return logits / self.temperature

    return Case(Classifier(4), floats(3, 4), needs_input=False)


@case
def subclass_of_sequential():
    """A subclass of `keras.Sequential` adds its layers in `__init__`."""

    class Stack(keras.Sequential):
        def __init__(self, width):
            super().__init__()
            self.add(keras.layers.Dense(8, activation="relu"))
            self.add(ResidualBlock(8))
            self.add(keras.layers.Dense(width))

    return Case(Stack(4), floats(3, 4))


@case
def sequential_of_custom_layers():
    """A Sequential with an Input holds custom layers only."""
    model = keras.Sequential([keras.Input((4,)), ResidualBlock(4), Scale(), ResidualBlock(4)])
    return Case(model, floats(3, 4), needs_input=False)


@case
def unbuilt_sequential_of_custom_layers():
    """A Sequential without an Input has no graph of its own yet."""
    return Case(keras.Sequential([ResidualBlock(4), Scale()]), floats(3, 4))


@case
def sequential_with_custom_layer_inside_subclass():
    """An unbuilt Sequential of a custom layer is an attribute of a subclassed model."""

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = keras.Sequential([Scale(), keras.layers.Dense(4), ResidualBlock(4)])

        def call(self, x):
            return self.body(x) + x

    return Case(Outer(), floats(3, 4))


@case
def subclassed_model_that_was_called():
    """A subclassed model that was called keeps what is needed to know its input."""

    class Called(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = ResidualBlock(4)

        def call(self, x):
            return self.block(x)

    model = Called()
    model(floats(2, 4))
    return Case(model, floats(3, 4), needs_input=False)


@case
def subclassed_model_that_was_built():
    """A subclassed model that was built with `model.build(shape)` and never called."""

    class Built(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def build(self, input_shape):
            self.dense.build(input_shape)

        def call(self, x):
            return ops.relu(self.dense(x))

    model = Built()
    model.build((None, 5))
    return Case(model, floats(3, 5), needs_input=False)


# --- Where layers are kept -----------------------------------------------------------------


@case
def layers_in_a_list():
    """Layers are kept in a list and called in reverse."""

    class InList(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [keras.layers.Dense(4, activation="tanh") for _ in range(3)]

        def call(self, x):
            for block in reversed(self.blocks):
                x = block(x)
            return x

    return Case(InList(), floats(3, 4))


@case
def layers_in_a_tuple():
    """Layers are kept in a tuple of pairs."""

    class InTuple(keras.Model):
        def __init__(self):
            super().__init__()
            self.pairs = tuple((keras.layers.Dense(4), layer_normalization()) for _ in range(2))

        def call(self, x):
            for dense, normalize in self.pairs:
                x = x + dense(normalize(x))
            return x

    return Case(InTuple(), floats(3, 4))


@case
def layers_in_a_dict():
    """Layers are kept in a dict."""

    class InDict(keras.Model):
        def __init__(self):
            super().__init__()
            self.heads = {name: keras.layers.Dense(5) for name in ("b head", "a/head")}

        def call(self, x):
            return {name: head(x) for name, head in self.heads.items()}

    return Case(InDict(), floats(3, 4))


@case
def layers_in_nested_lists():
    """Custom layers are kept in lists of lists inside a dict."""

    class InNestedLists(keras.Model):
        def __init__(self):
            super().__init__()
            self.stages = [[ResidualBlock(4) for _ in range(2)] for _ in range(2)]
            self.named = {"tail": [Scale(), [ResidualBlock(4)]]}

        def call(self, x):
            for stage in self.stages:
                for block in stage:
                    x = block(x)
            scale, (block,) = self.named["tail"]
            return block(scale(x))

    return Case(InNestedLists(), floats(3, 4))


@case
def layers_set_by_name():
    """Layers are set and found with `setattr` and `getattr`."""

    class ByName(keras.Model):
        def __init__(self):
            super().__init__()
            for index in range(3):
                setattr(self, f"conv{index}", keras.layers.Dense(4))

        def call(self, x):
            for index in range(3):
                x = ops.relu(getattr(self, f"conv{index}")(x)) + x
            return x

    return Case(ByName(), floats(3, 4))


@case
def layers_made_on_the_first_call():
    """The sublayers are made by `build`, from the shape of the input."""

    class Lazy(keras.layers.Layer):
        def build(self, input_shape):
            self.inner = keras.layers.Dense(input_shape[-1])
            self.inner.build(input_shape)

        def call(self, x):
            return x + self.inner(x)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.lazy = Lazy()

        def call(self, x):
            return self.lazy(x)

    return Case(Outer(), floats(3, 4))


@case
def layer_reached_through_a_closure():
    """A layer is known to a closure only: Keras does not track it."""
    hidden = keras.layers.Dense(4, bias_initializer="random_normal")
    hidden.build((None, 4))

    def transform(x):
        return ops.tanh(hidden(x))

    class Closure(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(transform(x))

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Closure()(inputs))
    return Case(model, floats(3, 4), needs_input=False, untracked=(hidden,))


@case
def layer_reached_through_another_object():
    """A plain Python object owns a layer: Keras does not track it."""

    class Toolbox:
        def __init__(self):
            self.dense = keras.layers.Dense(4, bias_initializer="random_normal")
            self.dense.build((None, 4))

        def apply(self, x):
            return self.dense(x) - 1.0

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.toolbox = Toolbox()
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(self.toolbox.apply(x))

    model = Outer()
    return Case(model, floats(3, 4), untracked=(model.toolbox.dense,))


@case
def lambda_layer_around_a_layer():
    """A Lambda layer calls a layer of its enclosing function."""
    dense = keras.layers.Dense(4, bias_initializer="random_normal")
    dense.build((None, 4))
    inputs = keras.Input((4,))
    hidden = keras.layers.Lambda(lambda x: ops.relu(dense(x)))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    return Case(model, floats(3, 4), needs_input=False, untracked=(dense,))


# --- Classes -------------------------------------------------------------------------------


@case
def intermediate_base_class():
    """`call` is in a base class and calls hooks that the subclasses define."""

    class Base(keras.layers.Layer):
        def call(self, x):
            return x + self.transform(self.before(x))

        def before(self, x):
            return x

        def transform(self, x):
            raise NotImplementedError

    class Middle(Base):
        def __init__(self, **options):
            super().__init__(**options)
            self.inner = keras.layers.Dense(4)

        def transform(self, x):
            return self.inner(x)

    class Bottom(Middle):
        def __init__(self, **options):
            super().__init__(**options)
            self.normalize = layer_normalization()

        def before(self, x):
            return self.normalize(super().before(x))

    return Case(functional(Bottom(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def call_that_extends_its_base():
    """A custom layer extends the `call` of another custom layer through `super`."""

    class Scaled(ResidualBlock):
        def build(self, input_shape):
            super().build(input_shape)
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return super().call(x) * self.scale

    return Case(functional(Scaled(4), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def layer_without_get_config():
    """The constructor takes a function and a layer; there is no `get_config`."""

    class Wrapped(keras.layers.Layer):
        def __init__(self, function, layer):
            super().__init__()
            self.function = function
            self.layer = layer

        def call(self, x):
            return self.function(self.layer(x))

    layer = Wrapped(lambda x: x * ops.sigmoid(x), keras.layers.Dense(4))
    return Case(functional(layer, floats(3, 4)), floats(3, 4), needs_input=False)


@case
def unused_sublayer():
    """A sublayer with weights is never called."""

    class Unused(keras.Model):
        def __init__(self):
            super().__init__()
            self.idle = keras.layers.Dense(4, name="idle")
            self.idle.build((None, 4))
            self.dense = keras.layers.Dense(4, name="busy")

        def call(self, x):
            return self.dense(x)

    return Case(Unused(), floats(3, 4), unused=2)


@case
def unbuilt_unused_sublayer():
    """A sublayer is never called and so never built."""

    class Unbuilt(keras.Model):
        def __init__(self):
            super().__init__()
            self.idle = ResidualBlock(4)
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x)

    return Case(Unbuilt(), floats(3, 4))


@case
def layer_whose_result_is_dropped():
    """A sublayer is called, but its result does not reach the output."""

    class Dropped(keras.Model):
        def __init__(self):
            super().__init__()
            self.main = keras.layers.Dense(4)
            self.auxiliary = keras.layers.Dense(2)

        def call(self, x):
            hidden = self.main(x)
            self.auxiliary(hidden)
            return hidden

    return Case(Dropped(), floats(3, 4), unused=2)


@case
def unused_input():
    """One entry of the dict of inputs is not used."""

    class Picky(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, features):
            return self.dense(features["used"])

    return Case(Picky(), {"used": floats(3, 4), "ignored": floats(3, 5, seed=1)})


@case
def unused_input_of_a_block():
    """A block inside a Functional model ignores its second argument."""

    class IgnoresContext(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, context):
            del context
            return self.dense(x)

    inputs, context = keras.Input((4,)), keras.Input((5,))
    model = keras.Model([inputs, context], IgnoresContext()(inputs, context))
    return Case(model, [floats(3, 4), floats(3, 5, seed=1)], needs_input=False)


@case
def dense_subclass_with_scale():
    """A subclass of Dense multiplies what `super().call` returns by its own weight."""

    class ScaledDense(keras.layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.scale = self.add_weight(name="scale", shape=(self.units,), initializer=around_one())

        def call(self, inputs, training=None):
            return super().call(inputs, training=training) * self.scale

    model = functional(ScaledDense(5, activation="tanh"), floats(3, 4))
    return Case(model, floats(3, 4), needs_input=False)


@case
def conv_subclass_that_pads():
    """A subclass of Conv2D pads its input and calls `super().call`."""

    class SamePad(keras.layers.Conv2D):
        def call(self, inputs):
            padded = ops.pad(inputs, ((0, 0), (1, 1), (2, 2), (0, 0)))
            return super().call(padded)

    class Image(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = SamePad(4, (3, 5), bias_initializer="random_normal")

        def call(self, x):
            return self.conv(x)

    return Case(Image(), floats(3, 7, 6, 2))


@case
def normalization_subclass_in_float32():
    """A subclass of LayerNormalization casts, calls `super().call`, and casts back."""

    class Float32Normalization(keras.layers.LayerNormalization):
        def call(self, inputs):
            normalized = super().call(ops.cast(inputs, "float32"))
            return ops.cast(normalized, inputs.dtype)

    layer = Float32Normalization(gamma_initializer=around_one(), beta_initializer="random_normal")
    return Case(functional(layer, floats(3, 4)), floats(3, 4), needs_input=False)


@case
def builtin_subclass_that_only_presets():
    """A subclass of Dense sets defaults and leaves `call` alone."""

    class ReluDense(keras.layers.Dense):
        def __init__(self, units):
            super().__init__(units, activation="relu", bias_initializer="random_normal")

    return Case(functional(ReluDense(4), floats(3, 5)), floats(3, 5), needs_input=False)


@case
def embedding_subclass_with_positions():
    """A subclass of Embedding adds a table of positions to `super().call`."""

    class PositionedEmbedding(keras.layers.Embedding):
        def build(self, input_shape=None):
            super().build(input_shape)
            self.positions = self.add_weight(shape=(7, 4), initializer="random_normal")

        def call(self, inputs):
            return super().call(inputs) + self.positions

    model = functional(PositionedEmbedding(VOCABULARY, 4), tokens(3, 7))
    return Case(model, tokens(3, 7), needs_input=False)


# --- The two models of the demo, in tiny ---------------------------------------------------


# Embeddings so wide that attention is far from uniform and every weight shows.
WIDE = keras.initializers.RandomNormal(stddev=1.0)


class TokenAndPositionEmbedding(keras.layers.Layer):
    """A token embedding plus the embedding of the positions `ops.arange(length)`."""

    def __init__(self, length, vocabulary, width):
        """Makes the two embeddings."""
        super().__init__()
        self.token_emb = keras.layers.Embedding(vocabulary, width, WIDE)
        self.pos_emb = keras.layers.Embedding(length, width, WIDE)

    def call(self, x):
        """Returns embeddings of shape (batch, length, width)."""
        length = ops.shape(x)[-1]
        positions = self.pos_emb(ops.arange(0, length, 1))
        return self.token_emb(x) + positions


class TransformerBlock(keras.layers.Layer):
    """Self-attention and a feed-forward part, each with Dropout, residual and norm."""

    def __init__(self, width, heads, hidden, rate=0.5):
        """Makes the sublayers."""
        super().__init__()
        self.att = keras.layers.MultiHeadAttention(num_heads=heads, key_dim=width)
        self.ffn = keras.Sequential(
            [keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(width)]
        )
        self.layernorm1 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = keras.layers.Dropout(rate)
        self.dropout2 = keras.layers.Dropout(rate)

    def call(self, inputs):
        """Returns features of the input's shape."""
        attended = self.dropout1(self.att(inputs, inputs))
        middle = self.layernorm1(inputs + attended)
        return self.layernorm2(middle + self.dropout2(self.ffn(middle)))


@case
def transformer_text_classifier():
    """The text classifier of the Keras examples, in tiny."""
    inputs = keras.Input((7,), dtype="int32")
    x = TokenAndPositionEmbedding(7, VOCABULARY, 4)(inputs)
    x = TransformerBlock(4, 2, 6)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(8, activation="relu")(x)
    x = keras.layers.Dropout(0.5)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    return Case(model, tokens(3, 7), needs_input=False, inert=("key/bias",))


@case
def dense_and_nested_functional_classifier():
    """A subclassed model of a Dense and a nested Functional classifier."""

    class DenseAndClassifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.linear = keras.layers.Dense(6)
            self.classifier = classifier(6)

        def call(self, x):
            return self.classifier(self.linear(x))

    return Case(DenseAndClassifier(), floats(3, 4))


@case
def residual_convolution_network():
    """A subclassed network of blocks of Conv2D and BatchNormalization, some with a shortcut."""

    class Block(keras.layers.Layer):
        def __init__(self, filters, project):
            super().__init__()
            self.conv = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
            self.bn = batch_normalization()
            self.relu = keras.layers.ReLU()
            self.shortcut = keras.layers.Conv2D(filters, 1) if project else None

        def call(self, x):
            residual = x if self.shortcut is None else self.shortcut(x)
            return self.relu(self.bn(self.conv(x)) + residual)

    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [Block(4, project=True), Block(4, project=False)]
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.head = keras.layers.Dense(5)

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(self.pool(x))

    return Case(Network(), floats(3, 7, 6, 2))
