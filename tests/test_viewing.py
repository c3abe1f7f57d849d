"""Pictures of models, and what Model Explorer is told of them."""

import json
import sys

import keras
import pytest
from keras import layers

import kerasfx
from examples import models
from kerasfx.errors import UnsupportedModelError
from kerasfx.viewing import plotting

pytestmark = [pytest.mark.any_backend, pytest.mark.any_keras]


class Block(layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.dense = layers.LayerNormalization(), layers.Dense(width)

    def build(self, shape):
        self.norm.build(shape)
        self.dense.build(shape)

    def call(self, x):
        return keras.ops.flip(self.dense(self.norm(x)), axis=-1) + x


class Encoder(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Block(4), Block(4)]
        self.scale = self.add_weight(shape=(4,), name="scale")

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return keras.ops.cumsum(x * self.scale, axis=-1) - self.scale


class Net(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.encoder, self.head = Encoder(), layers.Dense(2)

    def build(self, shape):
        self.encoder.build(shape)
        self.head.build(shape)

    def call(self, x):
        return self.head(self.encoder(x))


@pytest.fixture(scope="module")
def prepared():
    return kerasfx.prepare_model(Net(), keras.Input((4,), name="x"), lower=False)


def drawn(shown, tmp_path, **options):
    kerasfx.plot(shown, tmp_path / "model.dot", **options)
    return (tmp_path / "model.dot").read_text()


def clusters(text):
    """The labels of the boxes around boxes, indented as they are inside of each other."""
    found, depth = [], -1
    for line in text.splitlines():
        depth += line.lstrip().startswith("subgraph") - (line.strip() == "}")
        if line.startswith("label=") and depth >= 0:
            found.append("  " * depth + line.removeprefix("label=").strip('";'))
    return found


def test_layers_of_the_original_are_boxes_inside_of_each_other(prepared, tmp_path):
    text = drawn(prepared, tmp_path)
    assert clusters(text) == ["encoder  (Encoder)", "  blocks[0]  (Block)", "  blocks[1]  (Block)"]
    assert "<b>Dense</b><br/>dense<br/>" in text
    assert "<b>Parameter</b>" in text
    assert text.count("->") == 16


def test_depth_makes_one_box_of_what_is_deeper(prepared, tmp_path):
    text = drawn(prepared, tmp_path, depth=1)
    assert clusters(text) == []
    assert text.count("->") == 2
    assert "<b>Encoder</b><br/>encoder<br/>" in text
    assert clusters(drawn(prepared, tmp_path, depth=2)) == ["encoder  (Encoder)"]


@pytest.fixture
def two_results():
    """A model with an inner one that gives two tensors, of which the last is not made last."""
    z = keras.Input((4,), name="z")
    first = layers.Dense(3, name="first")(z)
    inner = keras.Model(z, [layers.Dense(5, name="second")(first), first], name="inner")
    x = keras.Input((4,), name="x")
    a, b = inner(x)
    return keras.Model(x, [a, b, layers.Dense(6, name="last")(b)], name="net")


def test_a_box_of_several_layers_has_the_shapes_of_what_leaves_it(two_results, tmp_path):
    text = drawn(two_results, tmp_path, depth=1, show_dtype=True)
    assert 'inner<br/><font color="#555555">(None, 3), (None, 5) float32</font>' in text


def test_what_boxes_say(prepared, tmp_path):
    text = drawn(prepared, tmp_path, show_shapes=False, show_layer_names=False, show_dtype=True)
    assert "(None, 4)" not in text
    assert '<b>Dense</b><br/><font color="#555555">float32</font>' in text


def test_a_graph_before_it_is_a_model(tmp_path):
    text = drawn(kerasfx.trace(Net(), keras.Input((4,))).graph, tmp_path)
    assert clusters(text) == ["encoder", "  blocks[0]", "  blocks[1]"]
    assert "<b>keras.ops.cumsum</b>" in text


def test_a_layer_that_is_called_twice_and_models_inside(tmp_path):
    x = keras.Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="first")], name="inner")
    model = keras.Model(x, inner(inner(shared(shared(x)))), name="net")
    text = drawn(model, tmp_path)
    assert text.count("shared<br/>") == text.count("first<br/>") == 2
    assert clusters(text) == ["inner  (Sequential)"]
    assert text.count("->") == 4


def test_what_is_kept_whole_is_marked(tmp_path):
    kept = kerasfx.prepare_model(Net(), keras.Input((4,)), leaves=["encoder"])
    text = drawn(kept, tmp_path)
    assert "<i>kept whole on request</i>" in text
    assert plotting.COLOURS["kept"] in text


@pytest.mark.parametrize(("form", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_formats(prepared, tmp_path, form, begins):
    kerasfx.plot(prepared, tmp_path / f"model.{form}", rankdir="LR")
    assert (tmp_path / f"model.{form}").read_bytes().startswith(begins)


def test_names_that_mean_something_to_graphviz(tmp_path):
    x = keras.Input((4,), name="<x>")
    kerasfx.plot(keras.Model(x, layers.Dense(2, name='a "b" & {c}')(x), name='"q\\'), tmp_path / "m.svg")
    assert "a &quot;b&quot; &amp; {c}" in (tmp_path / "m.svg").read_text()


def test_a_notebook_shows_it(prepared, tmp_path, monkeypatch):
    class Display:
        def __init__(self, filename):
            self.filename = filename

    Display.Image = Display.SVG = Display
    monkeypatch.setitem(sys.modules, "IPython.display", Display)
    for form in ("png", "svg"):
        assert kerasfx.plot(prepared, tmp_path / f"m.{form}", depth=1).filename == str(tmp_path / f"m.{form}")
    monkeypatch.delitem(sys.modules, "IPython.display")
    assert kerasfx.plot(prepared, tmp_path / "m.png", depth=1) is None


# What is refused


def test_a_model_that_is_not_functional_is_refused_and_prepared(tmp_path):
    with pytest.raises(UnsupportedModelError, match="no picture of 'net' of class Net") as caught:
        kerasfx.plot(Net())
    assert "kerasfx.plot(kerasfx.prepare_model(model))" in str(caught.value)


def test_too_many_boxes_are_refused_with_a_depth_that_helps(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "LIMIT", 10)
    with pytest.raises(ValueError, match="'net_prepared' has 14 boxes, too many") as caught:
        kerasfx.plot(prepared, tmp_path / "m.png")
    assert "depth=2, which makes 8 of them; or kerasfx.to_model_explorer" in str(caught.value)
    kerasfx.plot(prepared, tmp_path / "m.png", depth=2)
    assert drawn(prepared, tmp_path)


def test_graphviz_is_not_waited_for_for_ever(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "SECONDS", 1e-6)
    with pytest.raises(ValueError, match="was not done after"):
        kerasfx.plot(prepared, tmp_path / "m.png")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"to_file": "m.gif"}, r"no format 'gif'.\n.*end in one of .png, .svg, .pdf, .dot"),
        ({"to_file": "model"}, "no format ''"),
        ({"depth": 0}, r"depth=0 shows nothing.\n.*depth=1 shows the layers of the model"),
        ({"depth": "1"}, "depth='1' shows nothing."),
        ({"rankdir": "lr"}, "rankdir='lr' is none of 'TB', 'LR', 'BT', 'RL'."),
        ({"dpi": -5}, "dpi=-5 is no number of dots per inch."),
    ],
)
def test_wrong_arguments(prepared, options, what):
    with pytest.raises(ValueError, match=what):
        kerasfx.plot(prepared, **options)


def test_without_graphviz(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt install graphviz"):
        kerasfx.plot(prepared, tmp_path / "m.png")
    assert drawn(prepared, tmp_path)


def test_without_pydot(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(ImportError, match=r'pip install "kerasfx\[plot\]"'):
        kerasfx.plot(prepared, tmp_path / "m.png")


# Model Explorer


def namespaces(graph):
    return {node["attrs"][0]["value"]: node["namespace"] for node in graph["nodes"]}


def test_model_explorer_gets_each_call_with_its_inputs(prepared, tmp_path):
    data = kerasfx.to_model_explorer(prepared, tmp_path / "net.json")
    assert json.loads((tmp_path / "net.json").read_text()) == data
    (graph,) = data["graphs"]
    assert graph["id"] == "net_prepared"
    known = {node["id"]: len(node["outputsMetadata"]) for node in graph["nodes"]}
    assert len(known) == len(graph["nodes"]) == len(prepared.layers)
    edges = [edge for node in graph["nodes"] for edge in node["incomingEdges"]]
    assert all(int(edge["sourceNodeOutputId"]) < known[edge["sourceNodeId"]] for edge in edges)
    assert namespaces(graph)["encoder_blocks_0_norm"] == "encoder/blocks[0]"
    assert graph["groupNodeAttributes"]["encoder/blocks[0]"] == {"class": "Block"}
    told = {x["key"]: x["value"] for x in graph["nodes"][-1]["attrs"]}
    assert told["name"] == told["path"] == "head"
    assert "test_viewing.py:" in told["source"]
    assert told["result of the model"] == "yes"


def test_model_explorer_gets_each_result_of_the_model(two_results):
    (graph,) = kerasfx.to_model_explorer(two_results)["graphs"]
    told = [{x["key"]: x["value"] for x in node["attrs"]} for node in graph["nodes"]]
    results = [each["name"] for each in told if "result of the model" in each]
    assert results == ["first", "second", "last"]


def test_model_explorer_gets_the_differences(tmp_path):
    original = models.embedded_classifier()
    model = kerasfx.prepare_model(original, keras.Input((8,), name="x"))
    plain = kerasfx.compare(original, model, gradients=False)
    with pytest.raises(ValueError, match=r"kerasfx.compare\(original, model, by_layer=True\)"):
        kerasfx.to_model_explorer(model, comparison=plain)
    kernel = model.get_layer("classifier_dense").kernel
    kernel.assign(kernel + 1.0)
    wrong = kerasfx.compare(original, model, gradients=False, by_layer=True)
    data = kerasfx.to_model_explorer(model, tmp_path / "net.json", comparison=wrong)
    assert json.loads((tmp_path / "net.difference.json").read_text()) == data["node_data"]
    assert set(json.loads((tmp_path / "net.json").read_text())) == {"label", "graphs"}
    results = data["node_data"]["embedded_classifier_prepared"]["results"]
    assert results["embed"] == {"value": 0.0, "bgColor": "#ceead6"}
    assert results["classifier_dense"]["value"] > 0
    assert results["classifier_dense"]["bgColor"] == "#f28b82"
    assert results.keys() <= {node["id"] for node in data["graphs"][0]["nodes"]}
