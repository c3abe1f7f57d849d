"""Built-in layers, each with what it can be called on."""

from tests.random_models.values import BATCH, Value
from tests.random_models.writing import Writer

SAME = (
    *("layers.LayerNormalization()", "layers.Activation('tanh')", "layers.ReLU()", "layers.LeakyReLU(0.2)"),
    *("layers.Rescaling(0.5, 0.1)", "layers.Identity()", "layers.ELU()", "layers.Softmax()"),
    *("layers.UnitNormalization()", "layers.PReLU(alpha_initializer='ones')", "layers.RMSNormalization()"),
    "layers.Lambda(lambda v: v * 0.5)",
)
ON_SEQUENCES = (
    *("layers.Conv1D({n}, 3, padding='same')", "layers.SimpleRNN({n}, return_sequences=True)"),
    *("layers.Conv1D({n}, 2, padding='causal', activation='relu')", "layers.GRU({n}, return_sequences=True)"),
    *("layers.DepthwiseConv1D(3, padding='same')", "layers.TimeDistributed(layers.Dense({n}))"),
    *(
        "layers.SeparableConv1D({n}, 3, padding='same')",
        "layers.AveragePooling1D(2, strides=1, padding='same')",
    ),
    *("layers.Bidirectional(layers.SimpleRNN({n}, return_sequences=True), merge_mode='sum')",),
    *("layers.EinsumDense('abc,cd->abd', output_shape=(None, {n}), bias_axes='d')", "layers.Masking(0.0)"),
    "layers.MaxPooling1D(2, strides=1, padding='same')",
)
TO_FLAT = (
    *("layers.GlobalAveragePooling1D()", "layers.LSTM({n})", "layers.GlobalMaxPooling1D()"),
    *("layers.Bidirectional(layers.GRU({n}), merge_mode='ave')", "layers.SimpleRNN({n})"),
)
DENSES = (
    *("layers.Dense({n})", "layers.Dense({n}, activation='relu')", "layers.Dense({n}, use_bias=False)"),
    *("layers.Dense({n}, kernel_regularizer='l2')", "layers.Dense({n}, activation='tanh', name='same_name')"),
    *("layers.Dense({n}, activity_regularizer='l1')", "layers.Dense({n}, bias_initializer='ones')"),
    *(
        "layers.Dense({n}, kernel_constraint='max_norm')",
        "keras.Sequential([layers.Dense(5), layers.Dense({n})])",
    ),
    *("layers.Dense({n}, trainable=False)", "layers.Dense({n}, dtype='mixed_bfloat16')"),
    "layers.Dense({n}, activation=lambda v: ops.tanh(v) * 0.5)",
)


def dense(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_features:
        return None
    code, width = DENSES[number % len(DENSES)], (x.width, 3, 4)[number % 3]
    if "Sequential" in code and x.rank > 2:
        return None
    if "mixed" in code:
        return w.value(f"ops.cast({w.layer(code.format(n=width))}({x}), 'float32')", _wide(x, width))
    return w.value(f"{w.layer(code.format(n=width))}({x})", _wide(x, width))


def dense_twice(w: Writer, x: Value, number: int) -> Value | None:
    """One layer, called twice."""
    if not x.is_features:
        return None
    name = w.layer(f"layers.Dense({x.width}, activation='tanh')")
    return w.value(f"{name}({name}({x})) + {name}({x})", x)


def same_shape(w: Writer, x: Value, number: int) -> Value | None:
    code = SAME[number % len(SAME)]
    if not x.is_features or ("PReLU" in code and not x.is_static):
        return None
    return w.value(f"{w.layer(code)}({x})", x)


def on_sequence(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_sequence:
        return None
    code = ON_SEQUENCES[number % len(ON_SEQUENCES)].format(n=x.width)
    if "Pooling" in code and not x.is_static:
        return None
    return w.value(f"{w.layer(code)}({x})", x)


def to_flat(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_sequence:
        return None
    code = TO_FLAT[number % len(TO_FLAT)].format(n=x.width)
    return w.value(f"{w.layer(code)}({x})", x.of_shape((BATCH, x.width)))


def recurrent_with_state(w: Writer, x: Value, number: int) -> Value | None:
    """The last state begins another layer."""
    if not x.is_sequence:
        return None
    first = w.layer(f"layers.GRU({x.width}, return_sequences=True, return_state=True)")
    second = w.layer(f"layers.GRU({x.width}, return_sequences=True)")
    out, last = w.name("out"), w.name("last")
    w.line(f"{out}, {last} = {first}({x})")
    return w.value(f"{second}({out}, initial_state={last})", x)


def recurrent_of_own_cell(w: Writer, x: Value, number: int) -> Value | None:
    if not x.is_sequence:
        return None
    codes = (
        "layers.RNN(Cell({n}), return_sequences=True)",
        "layers.RNN([Cell(3), layers.GRUCell({n})], return_sequences=True)",
        "layers.Bidirectional(layers.RNN(Cell({n}), return_sequences=True), merge_mode='sum')",
        "layers.RNN(Cell({n}), return_sequences=True, go_backwards=True)",
        "layers.RNN(layers.LSTMCell({n}, recurrent_dropout=0.2), return_sequences=True)",
    )
    return w.value(f"{w.layer(codes[number % len(codes)].format(n=x.width), 'recurrent')}({x})", x)


def image(w: Writer, x: Value, number: int) -> Value | None:
    if not (x.is_features and x.is_static and x.rank == 4):
        return None
    codes = (
        f"layers.Conv2D({x.width}, 3, padding='same')",
        "layers.DepthwiseConv2D(3, padding='same')",
        f"layers.SeparableConv2D({x.width}, 2, padding='same')",
        "layers.SpatialDropout2D(0.3, seed=3)",
        f"layers.Conv2DTranspose({x.width}, 2, padding='same')",
        "layers.AveragePooling2D(2, strides=1, padding='same')",
        "layers.GroupNormalization(1)",
    )
    return w.value(f"{w.layer(codes[number % len(codes)])}({x})", x)


def attention(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not (x.is_sequence and y.is_sequence and x.shape[2] == y.shape[2]):
        return None
    if number % 3 == 0:
        name = w.layer("layers.MultiHeadAttention(2, 2)")
        causal = ", use_causal_mask=True" if number % 2 else ""
        return w.value(f"{name}({x}, {y}{causal})", x)
    if number % 3 == 1:
        return w.value(f"{w.layer('layers.Attention()')}([{x}, {y}])", x)
    scores = f"ops.softmax(ops.einsum('bik,bjk->bij', {x}, {y}) / {x.width}**0.5)"
    return w.value(f"ops.matmul({scores}, {y})", x)


def embedding(w: Writer, x: Value, number: int) -> Value | None:
    """Of integers that lie between 0 and 10."""
    if x.dtype != "int32" or not x.is_batched or x.rank > 2:
        return None
    code = (
        "layers.Embedding(11, 4, mask_zero=True)"
        if number % 3 == 0 and x.rank == 2
        else "layers.Embedding(11, 4)"
    )
    return w.value(f"{w.layer(code)}(ops.clip({x}, 0, 10))", Value("", (*x.shape, 4)))


def merged(w: Writer, x: Value, y: Value, number: int) -> Value | None:
    if not x.is_features or x.shape != y.shape or x.dtype != y.dtype:
        return None
    codes = ("layers.Add()", "layers.Average()", "layers.Multiply()", "layers.Maximum()", "layers.Subtract()")
    return w.value(f"{w.layer(codes[number % len(codes)])}([{x}, {y}])", x)


def frozen(w: Writer, x: Value, number: int) -> Value | None:
    """A layer that is frozen after it was made."""
    if not x.is_features:
        return None
    codes = (f"layers.Dense({x.width})", "layers.BatchNormalization()", "layers.LayerNormalization()")
    name = w.layer(codes[number % len(codes)])
    (w.built if w.built and name in w.built[-1] else w.made).append(f"{name}.trainable = False")
    return w.value(f"{name}({x})", x)


def masked_sequence(w: Writer, x: Value, number: int) -> Value | None:
    """A mask made by hand, for a layer that takes one."""
    if not x.is_sequence:
        return None
    mask = w.value(f"ops.any({x} > -0.5, axis=-1)", Value("", x.shape[:2], "bool"))
    name = w.layer(f"layers.SimpleRNN({x.width}, return_sequences=True)")
    return w.value(f"{name}({x}, mask={mask})", x)


def _wide(x: Value, width: int) -> Value:
    return x.of_shape((*x.shape[:-1], width))


STEPS = (
    *(dense, dense_twice, same_shape, on_sequence, to_flat, recurrent_with_state, image, attention),
    recurrent_of_own_cell,
    *(embedding, merged, frozen, masked_sequence),
)
