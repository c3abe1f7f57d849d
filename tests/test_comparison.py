"""What a comparison says: as a table, in a line, in a notebook, in JSON; and layer by layer."""

import json
import re
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from keras import layers

import kerasfx
from kerasfx.comparing import Check, Comparison, LayerDifference
from kerasfx.comparing.notebook import COLORS, MOST_ROWS

pytestmark = [pytest.mark.any_keras, pytest.mark.any_backend]

INFINITE = float("inf")


class Block(keras.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.proj = layers.Dense(4)
        self.act = layers.ReLU()

    def build(self, shape):
        self.proj.build(shape)

    def call(self, x):
        return self.act(self.proj(x))


class Net(keras.Model):
    """Two blocks, of which one is called twice, and a function between them."""

    def __init__(self):
        super().__init__(name="net")
        self.blocks = [Block(), Block()]
        self.drop = layers.Dropout(0.5, seed=1)

    def call(self, x, training=None):
        h = keras.ops.sin(self.blocks[0](x))
        return self.drop(self.blocks[1](self.blocks[1](h)), training=training)


@pytest.fixture(scope="module")
def net():
    model = Net()
    model(np.zeros((2, 4), "float32"))
    # Positive: what the activation cuts off would hide differences.
    for seed, v in enumerate(model.trainable_variables):
        v.assign(keras.random.uniform(v.shape, 0.1, 1, seed=seed))
    return model


@pytest.fixture
def prepared(net):
    return kerasfx.prepare_model(net, keras.Input((4,)))


def by_layer(a, b, **options):
    found = kerasfx.compare(a, b, samples=1, batch_sizes=(2,), by_layer=True, gradients=False, **options)
    return found, {x.layer: x for x in found.layers}


# Layer by layer


def test_equal_layers_are_equal_bit_for_bit(net, prepared):
    found, rows = by_layer(net, prepared)
    assert found.exact
    assert {name: x.path for name, x in rows.items()} == {
        "blocks_0_proj": "blocks[0].proj",
        "blocks_0_act": "blocks[0].act",
        "blocks_1_proj": "blocks[1].proj",
        "blocks_1_act": "blocks[1].act",
        "drop": "drop",
    }
    assert all(x.exact and x.within and x.max_abs_difference == 0 and not x.reason for x in found.layers)
    assert "5 of 5 corresponding layers equal bit for bit" in str(found)
    assert (
        "5 of the 6 layers of 'net_prepared' were compared with those that they stand for, "
        "in inference mode with their own weights, on batch 2, sample 1"
    ) in found.notes


def test_without_being_asked_no_layer_is_compared(net, prepared):
    assert kerasfx.compare(net, prepared, samples=1, batch_sizes=(2,), modes=("inference",)).layers == ()


def test_a_difference_grows_from_the_layer_where_it_begins(net, prepared):
    prepared.get_layer("blocks_1_proj").bias.assign_add(np.full(4, 0.25))
    found, rows = by_layer(net, prepared)
    assert not found
    assert "at layer 'blocks_1_proj'" in str(found.first_difference)
    assert rows["blocks_0_act"].exact
    assert not rows["blocks_1_proj"].within
    # Of two calls the second is further away: the first one goes into it.
    assert rows["blocks_1_proj"].max_abs_difference > 0.3
    assert 0 < rows["blocks_1_proj"].relative < 1
    assert "output: differs by" in rows["blocks_1_proj"].reason


def test_a_layer_that_is_called_again_behind_the_difference_is_not_where_it_begins():
    class Twice(keras.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.norm, self.dense = layers.LayerNormalization(), layers.Dense(4)

        def call(self, x):
            return self.norm(self.dense(self.norm(x)))

    model = Twice()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert [x.layer for x in by_layer(model, prepared)[0].layers] == ["norm", "dense"]
    prepared.get_layer("dense").bias.assign([0.5, 0.0, 0.0, 0.0])
    found, _ = by_layer(model, prepared)
    assert found.unequal_layers[0].layer == "dense"
    assert "at layer 'dense'" in str(found.first_difference)


def test_what_differs_with_perturbed_weights_alone_is_shown_with_them(net):
    x = keras.Input((4,))
    frozen = [keras.ops.convert_to_numpy(v) for v in net.blocks[1].proj.variables]
    model = kerasfx.prepare_model(net, x)

    def step(h):
        return layers.Lambda(lambda t: keras.ops.relu(keras.ops.matmul(t, frozen[0]) + frozen[1]))(h)

    first, act = model.get_layer("blocks_0_proj"), model.get_layer("blocks_0_act")
    h = keras.ops.sin(act(first(x)))
    wrong = keras.Model(x, model.get_layer("drop")(step(step(h))), name="wrong")
    pairs = [*zip(net.blocks[0].proj.variables, first.variables, strict=True)]
    pairs += [*zip(net.drop.variables, model.get_layer("drop").variables, strict=True)]
    found, rows = by_layer(net, wrong, variables=pairs, modes=("inference",))
    assert {c.name for c in found.checks if not c.passed} == {"variables", "perturbed outputs"}
    assert any("with perturbed weights" in note for note in found.notes)
    assert not rows["drop"].within


def test_a_loaded_model_is_compared_layer_by_layer_too(net, prepared, tmp_path):
    prepared.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    found, rows = by_layer(net, loaded)
    assert found.exact
    # Layers without weights as well, by their paths.
    assert rows["blocks_0_act"].path == "blocks[0].act"
    assert len(rows) == 5


def test_layers_that_are_shared_are_compared_with_themselves(net):
    found, rows = by_layer(net, kerasfx.prepare_model(net, keras.Input((4,)), weights="share"))
    assert found.exact
    assert len(rows) == 5


def test_a_model_that_raises_leaves_its_layers_out(net):
    x = keras.Input((4,))
    b = kerasfx.prepare_model(net, x)

    class Raises(keras.Layer):
        def compute_output_spec(self, t):
            return keras.KerasTensor(t.shape, t.dtype)

        def call(self, t):
            raise RuntimeError("mine")

    found, rows = by_layer(net, keras.Model(x, Raises()(b(x)), name="raising"), modes=("inference",))
    assert not found
    assert not rows
    assert any(
        note.startswith("layers were not compared in inference") and "mine" in note for note in found.notes
    )


# As values


def comparison(**changes):
    given = {
        "a": "net",
        "b": "net_prepared",
        "checks": (
            Check("variables", True, True, 0.0, "4 pairs"),
            Check("outputs", True, False, 1.2e-7, "2 calls"),
            Check("<b>masks</b>", False, False, INFINITE, "mask of output: a tensor became None & more"),
        ),
        "notes": ("a <note>",),
        "first_difference": "at layer '<i>'",
        "layers": (
            LayerDifference("one", "a.one", 0.0, 0.0, True, True),
            LayerDifference("two", None, INFINITE, INFINITE, False, False, "output: shape"),
            LayerDifference("three", "a.three", 1e-7, 1e-8, False, True, "output: differs"),
        ),
    }
    return Comparison(**{**given, **changes})


def test_a_comparison_goes_into_json_and_says_all():
    found = json.loads(json.dumps(comparison().to_dict(), allow_nan=False))
    assert list(found) == [
        *("a", "b", "equivalent", "exact", "max_abs_difference", "first_difference", "notes"),
        *("checks", "layers"),
    ]
    assert found["equivalent"] is False
    assert found["max_abs_difference"] is None
    assert found["checks"][1] == {
        "name": "outputs",
        "passed": True,
        "exact": False,
        "max_abs_difference": 1.2e-7,
        "verdict": "within 1.2e-07",
        "detail": "2 calls",
    }
    assert found["layers"][1] == {
        "layer": "two",
        "path": None,
        "max_abs_difference": None,
        "relative": None,
        "exact": False,
        "within": False,
        "reason": "output: shape",
    }


def test_reprs_are_a_line():
    found = comparison()
    assert repr(found) == "<Comparison: 'net' and 'net_prepared' are NOT equivalent: <b>masks</b>>"
    assert repr(found.checks[1]) == "<Check 'outputs': within 1.2e-07>"
    assert repr(found.layers[1]) == "<LayerDifference 'two': DIFFERENT>"


def test_a_printed_comparison_lists_where_it_begins_and_no_more_than_ten():
    shown = str(comparison())
    assert "1 of 3 corresponding layers equal bit for bit" in shown
    assert shown.index("  two ") < shown.index("  three ")
    many = tuple(LayerDifference(f"x{i}", None, i + 1.0, i + 1.0, False, i < 2, "output") for i in range(30))
    lines = [x for x in str(comparison(layers=many)).splitlines() if x.startswith("  x")]
    assert lines[0] == "  x2   DIFFERENT  output"
    assert len(lines) == 10
    unequal = comparison(layers=many).unequal_layers
    assert [x.layer for x in unequal[-2:]] == ["x1", "x0"]
    lines = str(comparison(layers=many)).splitlines()
    assert "  and 20 more: comparison.layers" in lines


class Text(HTMLParser):
    """The words and tags of HTML."""

    def __init__(self, html):
        super().__init__()
        self.words, self.tags, self.open = "", [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("shown", [comparison(), comparison().checks[2]], ids=["comparison", "check"])
def test_in_a_notebook_everything_is_escaped_and_alone(shown):
    html = shown._repr_html_()
    text = Text(html)
    assert "<b>masks</b>" in text.words
    assert {"b", "i", "note", "script", "link", "img"}.isdisjoint(text.tags)
    assert "http" not in html


def test_in_a_notebook_layers_are_folded_and_not_too_many():
    text = Text(comparison()._repr_html_())
    assert text.tags.count("details") == 1
    assert "1 of 3 corresponding layers equal bit for bit" in text.words
    many = tuple(LayerDifference(f"x{i}", None, 1.0, 1.0, False, False, "output") for i in range(5_000))
    html = comparison(layers=many)._repr_html_()
    assert len(html) < 150_000
    assert f"and {5_000 - MOST_ROWS} more" in html


@pytest.mark.parametrize("verdict", COLORS)
def test_verdicts_can_be_read_on_their_own_background(verdict):
    assert contrast_to_white(COLORS[verdict]) >= 4.5


def contrast_to_white(color):
    """The contrast ratio of WCAG 2.1."""
    parts = [int(part, 16) / 255 for part in re.findall(r"[0-9a-f]{2}", color)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
