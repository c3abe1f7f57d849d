"""The models of the demo, in small: prepared without a layer left whole, and equivalent."""

import keras
import numpy as np
import pytest
from predicting import predicted

import kerasfx
from examples import models

pytestmark = pytest.mark.any_keras

EXAMPLES = {
    "text_classifier": (
        lambda: models.text_classifier(vocabulary=50, length=12, width=8, heads=2, hidden=16),
        (),
    ),
    "embedded_classifier": (models.embedded_classifier, (keras.Input((64,)),)),
    "bert_classifier": (models.bert_classifier, ()),
}

if keras.backend.backend() == "tensorflow":
    from examples import aimet

    EXAMPLES |= {
        "functional_with_custom_layers": (
            lambda: aimet.functional_with_custom_layers(50, 12, embed_dim=8, ff_dim=16),
            (),
        ),
        "my_functional_model": (aimet.my_functional_model, (keras.Input(shape=(64,)),)),
    }


def inputs_for(model, batch=3):
    """Inputs of a Functional model: token ids (of any dtype), masks of ones, or normal numbers."""
    random = np.random.default_rng(0)

    def array(tensor):
        shape = [batch, *(10 if d is None else d for d in tensor.shape[1:])]
        feeds = [node.operation for node in tensor._keras_history.operation._outbound_nodes]
        is_id = any(isinstance(layer, keras.layers.Embedding) for layer in feeds)
        if is_id or "int" in tensor.dtype or "bool" in tensor.dtype:
            high = 2 if "mask" in tensor.name or "segment" in tensor.name else 50
            return random.integers(0, high, shape).astype(tensor.dtype)
        return random.standard_normal(shape).astype(tensor.dtype)

    return keras.tree.map_structure(array, model.input)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, elsewhere, tmp_path):
    """Flat, nothing opaque, equivalent, and loaded without the user's code or keras-hub."""
    build, arguments = EXAMPLES[name]
    model = build()
    prepared = kerasfx.prepare_model(model, *arguments)
    assert prepared.name == f"{model.name}_prepared"
    assert kerasfx.report(prepared).opaque == []
    modules = {type(layer).__module__.split(".")[0] for layer in prepared.layers}
    assert modules <= {"keras", "kerasfx"}
    assert prepared.count_params() == model.count_params()
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)

    inputs = inputs_for(prepared)
    prepared.save(tmp_path / "prepared.keras")
    outputs = elsewhere.run(tmp_path / "prepared.keras", inputs)
    expected = keras.tree.flatten(predicted(prepared, inputs, training=False))
    for ours, theirs in zip(expected, outputs, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not [m for m in elsewhere.modules if m.startswith(("keras_hub", "examples"))]


def test_sequence_length_stays_free():
    """BERT prepared without a length runs on every length."""
    model = models.bert_classifier()
    prepared = kerasfx.prepare_model(model, verify=False)
    for length in (3, 16):
        ids = np.ones((2, length), "int32")
        inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids}
        np.testing.assert_allclose(
            predicted(model, inputs), predicted(prepared, inputs), rtol=1e-5, atol=1e-6
        )
