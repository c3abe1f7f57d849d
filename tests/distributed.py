"""Prepares and trains a model on several virtual devices, in a process of its own.

How many devices there are is said before the backend starts, and a distribution of Keras is global. So the
tests start this file as a script, once for each of its scenarios; it prints what it saw as one line of JSON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 180
DEVICES = {"tensorflow": 2, "jax": 8}


def run_distributed(scenario: str) -> dict[str, Any]:
    """What the function `scenario` of this file returns in a new process, on the backend of this one."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES['jax']}"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), scenario],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{scenario} failed:\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])


# --- the other process --------------------------------------------------------------------------


def split_model() -> dict[str, Any]:
    """A model whose weights are split among devices by the paths that they have in it."""
    import keras

    asked: list[str] = []

    class Asked(keras.distribution.ModelParallel):
        def get_variable_layout(self, variable):
            asked.append(variable.path)
            return super().get_variable_layout(variable)

    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["small/embedding/embeddings"] = ("model", None)
    layouts["small/block/.*kernel"] = (None, "model")
    layouts["small/block/output"] = ("batch", None, "model")
    layouts["small/scale"] = ("model",)
    keras.distribution.set_distribution(Asked(layout_map=layouts, batch_dim_name="batch"))
    original = _model()
    asked.clear()
    prepared = {weights: _prepared(original, weights) for weights in ("copy", "share")}
    own_paths = {v.path for v in original.variables}
    asked_while_preparing = [path for path in asked if path not in own_paths]
    keras.distribution.set_distribution(None)
    prepared["outside"] = _prepared(original, "copy")
    seen: dict[str, Any] = {case: _placement(pairs) for case, pairs in prepared.items()}
    for case, pairs in prepared.items():
        seen[case]["other_values"] = _other_values(pairs)  # this does gather
    return {**seen, "asked_while_preparing": asked_while_preparing}


def split_training() -> dict[str, Any]:
    """`fit` of a split model and of those prepared from it, and the weights on their way home."""
    import keras

    import kerasfx

    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["small/.*kernel"] = (None, "model")
    layouts["small/scale"] = ("model",)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
    )
    original = _model()
    plain = kerasfx.prepare_model(original)
    alike = kerasfx.prepare_model(original, compile="like_original", keep_class=True)
    _compile(plain)
    seen = _training(original, plain, alike)
    seen["kept"] = all(_same_places(original, x) for x in (plain, alike))
    _losses(plain)
    kerasfx.copy_weights(plain, original)
    seen["kept_at_home"] = _same_places(original, plain)
    comparison = kerasfx.compare(original, plain, modes=("inference",))
    seen["differs"] = "" if comparison else str(comparison)
    return seen


def replicas() -> dict[str, Any]:
    """`fit` under `DataParallel`."""
    import keras

    import kerasfx

    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=keras.distribution.list_devices())
    )
    original = _model()
    return _training(original, kerasfx.prepare_model(original, compile="like_original"))


def mirrored() -> dict[str, Any]:
    """`fit` under `MirroredStrategy`, of models prepared inside and outside of its scope."""
    import tensorflow as tf

    import kerasfx

    [cpu] = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * DEVICES["tensorflow"]
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        original = _model()
        inside = kerasfx.prepare_model(original, compile="like_original")
    outside = kerasfx.prepare_model(original, compile="like_original", keep_class=True)
    return _training(original, inside, outside)


def _training(original: Any, *copies: Any) -> dict[str, Any]:
    """The losses of `original` and of what was prepared from it, which is trained first."""
    import keras

    before = [keras.ops.convert_to_numpy(v) for v in original.trainable_variables]
    kinds = {type(v.value).__name__ for x in copies for v in (*x.variables, *x.optimizer.variables)}
    losses = [_losses(x) for x in copies]
    after = [keras.ops.convert_to_numpy(v) for v in original.trainable_variables]
    return {
        "losses": losses,
        "losses_of_original": _losses(original),
        "untouched": all((a == b).all() for a, b in zip(before, after, strict=True)),
        "kinds": sorted(kinds),
    }


def _model() -> Any:
    import keras

    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.up = keras.layers.Dense(16, activation="relu", name="up")
            self.norm = keras.layers.BatchNormalization(name="norm")
            self.down = keras.layers.Dense(8, name="down")

        def call(self, x, training=None):
            return x + self.down(self.norm(self.up(x), training=training))

    class Small(keras.Model):
        def __init__(self):
            super().__init__(name="small")
            self.embedding = keras.layers.Embedding(32, 8, name="embedding")
            self.block = Block(name="block")
            self.dropout = keras.layers.Dropout(0.1, seed=3)
            self.head = keras.layers.Dense(4, name="head")
            self.scale = self.add_weight(shape=(8,), initializer="ones", name="scale")

        def call(self, x, training=None):
            x = self.block(self.embedding(x), training=training)
            return self.head(self.dropout(keras.ops.mean(x * self.scale, axis=1), training=training))

    keras.utils.set_random_seed(0)
    model = Small()
    model(_data()[0])
    _compile(model)
    return model


def _data() -> tuple[Any, Any]:
    import numpy as np

    return np.arange(16 * 6, dtype="int32").reshape(16, 6) % 32, np.arange(16, dtype="int32") % 4


def _compile(model: Any) -> None:
    import keras

    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])


def _losses(model: Any) -> list[float]:
    x, y = _data()
    return model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]


def _prepared(original: Any, weights: str) -> list[Any]:
    """The variables of `original`, each with that of a model prepared from it."""
    import kerasfx
    from kerasfx.handover.provenance import provenance_of

    known = provenance_of(kerasfx.prepare_model(original, _data()[0], weights=weights, verify=False))
    assert known is not None
    return known.variables


def _placement(pairs: list[Any]) -> dict[str, Any]:
    """Where variables and their partners lie."""
    return {
        "layouts": {v.path: [_spec(v), _spec(w)] for v, w in pairs},
        "in_one_piece": [v.path for pair in pairs for v in pair if _was_gathered(v)],
        "same_memory": [v.path for v, w in pairs if _addresses(v) & _addresses(w)],
    }


def _other_values(pairs: list[Any]) -> list[str]:
    import keras

    values = [[keras.ops.convert_to_numpy(v) for v in pair] for pair in pairs]
    return [pair[0].path for pair, (a, b) in zip(pairs, values, strict=True) if (a != b).any()]


def _spec(variable: Any) -> str:
    return str(variable.value.sharding)


def _was_gathered(variable: Any) -> bool:
    """Whether NumPy has seen the whole array, which JAX then keeps in this attribute."""
    value = variable.value
    return not value.sharding.is_fully_replicated and value._npy_value is not None


def _addresses(variable: Any) -> set[int]:
    return {shard.data.unsafe_buffer_pointer() for shard in variable.value.addressable_shards}


def _same_places(original: Any, prepared: Any) -> bool:
    from kerasfx.handover.provenance import provenance_of

    known = provenance_of(prepared)
    assert known is not None
    return all(_spec(v) == _spec(w) for v, w in known.variables)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
