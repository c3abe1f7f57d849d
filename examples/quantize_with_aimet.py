"""From a subclassed model to AIMET's 8 bits today: trained, prepared, exported to ONNX, quantized.

make aimet    # in an environment that has aimet_onnx (requirements/tools-onnx.txt)
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from aimet_onnx.quantsim import QuantizationSimModel

import kerasfx.aimet  # noqa: F401 (provides the next line, where aimet_tensorflow is absent)

from aimet_tensorflow.keras.model_preparer import prepare_model  # isort: skip
from examples.aimet import TokenAndPositionEmbedding, TransformerBlock

LENGTH, WORDS, WIDTH = 16, 400, 16


class Classifier(tf.keras.Model):
    """Says which of two kinds of words a text has more of."""

    def __init__(self):
        super().__init__(name="classifier")
        self.embedding = TokenAndPositionEmbedding(LENGTH, WORDS, WIDTH)
        self.block = TransformerBlock(WIDTH, num_heads=2, ff_dim=32)
        self.head = tf.keras.layers.Dense(2)

    def call(self, tokens, training=None):
        x = self.block(self.embedding(tokens), training=training)
        return self.head(tf.reduce_mean(x, axis=1))


def texts(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and whether more than half of them are of the second half of the words."""
    tokens = np.random.default_rng(count).integers(0, WORDS, (count, LENGTH)).astype("int32")
    return tokens, np.mean(tokens >= WORDS // 2, axis=1) > 0.5


def trained() -> tf.keras.Model:
    """The model, after a few epochs."""
    tf.keras.utils.set_random_seed(0)
    model = Classifier()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(0.01), loss)
    model.fit(*texts(2048), epochs=3, batch_size=64, verbose=0)
    return model


def simulated(file: Path, calibration: np.ndarray) -> QuantizationSimModel:
    """AIMET's simulation of the exported model in 8 bits, with ranges from `calibration`."""
    model = onnx.load(file)
    batches = [{model.graph.input[0].name: batch} for batch in np.split(calibration, 8)]
    simulation = QuantizationSimModel(model, dummy_input=batches[0])
    simulation.compute_encodings(batches)
    return simulation


def main(folder: Path) -> None:
    """Do all of it, and print what each step makes of the accuracy."""
    model, (tokens, kinds) = trained(), texts(1000)

    # The ids are integers: of a float input AIMET would round them to 256 values.
    prepared = prepare_model(model, input_layer=tf.keras.Input((LENGTH,), dtype="int32"))
    prepared(tokens)
    prepared.export(folder / "classifier.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(folder / "classifier.onnx")
    simulation = simulated(folder / "classifier.onnx", texts(256)[0])
    simulation.export(str(folder), "classifier_int8")

    def run(session: onnxruntime.InferenceSession) -> np.ndarray:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: tokens})[0])

    outputs = {
        "the subclassed model": model(tokens).numpy(),
        "prepared": prepared(tokens).numpy(),
        "ONNX Runtime": run(session),
        "AIMET, 8 bits": run(simulation.session),
    }
    expected = outputs["the subclassed model"]
    for name, logits in outputs.items():
        accuracy = np.mean(np.argmax(logits, axis=-1) == kinds)
        print(f"{name:22} accuracy {accuracy:.3f}, differs by {np.abs(logits - expected).max():.1e}")
    print("written:", *sorted(file.name for file in folder.iterdir()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
