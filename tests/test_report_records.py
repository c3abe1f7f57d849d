"""The records of a report: no layer of the original or of the result is left out, and each is told right."""

import json
from collections import Counter

import keras
import numpy as np
import pytest
from keras import ops
from zoo import ALL, IGNORED_WARNINGS

import kerasfx
from examples import models
from kerasfx.handover.provenance import provenance_of
from kerasfx.keras_api.internals import all_layers, own_state
from kerasfx.passes import any_, op, rewrite
from kerasfx.reporting import Report
from kerasfx.tracing.where import Paths

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.any_keras,
    *(pytest.mark.filterwarnings(warning) for warning in IGNORED_WARNINGS),
]


def require_all_is_told(model: keras.Model, prepared: keras.Model) -> Report:
    """Hold the records against the two models; returns the report."""
    report = kerasfx.report(prepared)
    data = report.to_dict()
    assert json.loads(json.dumps(data)) == data
    names = {layer["name"] for layer in data["layers"]}
    assert names == {x.name for x in prepared.layers}
    assert all(set(layer["inputs"]) <= names and layer["why"] for layer in data["layers"])
    assert {name for part in data["before"] for name in part["layers"]} == names
    require_hierarchy(model, data["before"])
    require_fates(model, prepared, data["before"])
    return report


def require_hierarchy(model, parts):
    """Each layer is there, below the one that holds it, which comes first."""
    assert Counter(part["class"] for part in parts) == Counter(type(x).__name__ for x in all_layers(model))
    seen = {None}
    for part in parts:
        assert part["parent"] in seen
        seen.add(part["path"])
    by_path = dict(Paths(model).below_root())
    for part in parts[1:]:
        assert part["parameters"] == sum(int(np.prod(v.shape)) for v in by_path[part["path"]].weights)


def require_fates(model, prepared, parts):
    """What is called unused has no variable in the result, and what became something has all."""
    record = provenance_of(prepared)
    assert record is not None
    by_path, carried = {"": model, **dict(Paths(model).below_root())}, record.carried()
    for part in parts:
        own = [id(v) in carried for v in own_state(by_path[part["path"]])]
        if part["became"] in ("unused", "dropped"):
            assert not any(own), part
        else:
            assert all(own), part


DEMOS = {
    "text_classifier": (
        lambda: models.text_classifier(vocabulary=50, length=12, width=8, heads=2, hidden=16),
        (),
    ),
    "embedded_classifier": (models.embedded_classifier, (keras.Input((64,)),)),
}


@pytest.mark.parametrize("name", DEMOS)
def test_every_layer_of_the_demos_is_told(name):
    build, arguments = DEMOS[name]
    model = build()
    prepared = kerasfx.prepare_model(model, *arguments, verify=False)
    require_all_is_told(model, prepared)


@pytest.mark.parametrize("name", ["siamese_subclassed_submodel", "unused_sublayer", "custom_wrapper"])
def test_every_layer_of_the_zoo_is_told(name):
    case = ALL[name]()
    arguments = (case.inputs,) if case.needs_input else ()
    prepared = kerasfx.prepare_model(case.model, *arguments, verify=False)
    require_all_is_told(case.model, prepared)


class Mixer(keras.layers.Layer):
    """Multiplies by hand, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.drop = keras.layers.Dropout(0.5)

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), name="w")
        self.b = self.add_weight(shape=(4,), name="b")

    def call(self, x, training=None):
        x = ops.matmul(x, self.w) + self.b
        return self.drop(ops.tanh(x), training=training)


class Whole(keras.layers.Layer):
    """Cannot be opened."""

    def call(self, x):
        return x if ops.sum(x) > 0 else -x

    def compute_output_shape(self, shape):
        return shape


class Net(keras.Model):
    """A layer of each fate."""

    def __init__(self):
        super().__init__(name="net")
        self.mixer = Mixer()
        self.tower = keras.Sequential([keras.layers.Dense(4, activation="relu")], name="tower")
        self.shared = keras.layers.Activation("sigmoid")
        self.table = keras.layers.Embedding(3, 4)
        self.attention = keras.layers.MultiHeadAttention(1, 2)
        self.whole = Whole()
        self.never = keras.layers.Dense(2)

    def build(self, shape):
        self.table.build(None)
        self.never.build((None, 4))
        self.mixer.build(shape)

    def call(self, x, training=None):
        x = self.shared(self.tower(self.shared(self.mixer(x, training=training))))
        x = self.whole(self.attention(x, x))
        return ops.matmul(x, ops.transpose(self.table.embeddings))


def parts_of(report):
    """Path -> what the layer became, and the names of what comes from it."""
    return {x.path: (x.became, x.layers) for x in report.before}


def line_of(text):
    """`test_report_records.py:12`, the line of this file with a text."""
    with open(__file__) as file:
        return f"test_report_records.py:{1 + next(i for i, line in enumerate(file) if text in line)}"


def test_what_became_of_each_layer():
    model = Net()
    prepared = kerasfx.prepare_model(model, keras.Input((3, 4)))
    report = require_all_is_told(model, prepared)
    parts = parts_of(report)
    assert parts["mixer"] == ("opened", ("mixer_dense", "mixer_tanh"))
    assert parts["mixer.drop"] == ("layer", ("mixer_drop",))
    assert parts["tower"] == ("opened", ())
    assert parts["shared"] == ("layer", ("shared",))
    assert parts["table"] == ("opened", ("transpose",))
    assert parts["attention"] == parts["attention._query_dense"] == ("layer", ("attention",))
    assert parts["whole"] == ("whole", ("whole",))
    assert parts["never"] == ("unused", ())
    why = {x.path: x.why for x in report.before}
    assert why["shared"] == "a built-in layer; called 2 times"
    assert why["table"] == "its weights are taken without a call of it"
    assert why["whole"].startswith("bool() of the tensor")


def test_why_each_layer_is_there():
    report = kerasfx.report(kerasfx.prepare_model(Net(), keras.Input((3, 4))))
    why = {name: x.why for name, x in report.layers.items()}
    assert why["x"] == "an input of the model"
    assert why["tower_dense"] == "a built-in layer of the original"
    assert why["shared"] == "a built-in layer of the original, called 2 times"
    line = line_of("x = ops.matmul(x, self.w) + self.b")
    assert why["mixer_dense"] == f"matmul and add at {line} lowered to Dense"
    assert why["whole"].startswith("kept whole: bool() of the tensor")
    line = line_of("return ops.matmul(x, ops.transpose(self.table.embeddings))")
    assert why["matmul"] == f"keras.ops.matmul at {line}"
    dense = report.layers["mixer_dense"]
    assert (dense.path, dense.kind, dense.shape, dense.dtype, dense.parameters, dense.inputs) == (
        *("mixer", "layer", "(None, 3, 4)", "float32", 20),
        ("x",),
    )
    assert report.layers["shared"].inputs == ("mixer_drop", "tower_dense")
    assert [report.layers[n].kind for n in ("x", "matmul", "whole")] == ["input", "function", "whole"]
    assert list(report.phases) == ["trace", "passes", "emit", "verify"]
    assert sum(report.phases.values()) <= report.seconds


def test_what_is_kept_on_request_and_unshared():
    model = Net()
    prepared = kerasfx.prepare_model(
        model, keras.Input((3, 4)), leaves=["attention", Mixer], unshare=True, verify=False
    )
    report = require_all_is_told(model, prepared)
    parts = parts_of(report)
    assert parts["mixer"] == parts["mixer.drop"] == ("kept", ("mixer",))
    assert parts["attention"] == ("kept", ("attention",))
    assert parts["shared"] == ("layer", ("shared", "shared_1"))
    assert report.layers["mixer"].why == "kept whole on request (leaves=)"
    assert report.headline.startswith("'net': 9 layers from 2 opened, 1 kept whole, 2 kept whole on request,")


def softer(graph):
    """A pass: sigmoid in the place of tanh."""

    def build(graph, found):
        return graph.make("keras.ops.sigmoid", found["x"], like=found.root)

    return rewrite(graph, op.tanh(any_("x")), build)


def test_what_a_pass_of_the_user_has_put_there():
    model = Net()
    traced = kerasfx.trace(model, keras.Input((3, 4)))
    kerasfx.passes.run(traced.graph, [softer])
    report = require_all_is_told(model, kerasfx.emit(traced))
    line = line_of("return self.drop(ops.tanh(x), training=training)")
    assert report.layers["mixer_tanh"].why == f"put there by the pass `softer` instead of tanh at {line}"
    kerasfx.passes.run(traced.graph)
    report = require_all_is_told(model, kerasfx.emit(traced))
    # What stood there first is said of the layer that took the place of that of the pass.
    assert report.layers["mixer_tanh"].why == (
        f"tanh at {line} lowered to Activation, which the pass `softer` put there"
    )
    assert report.headline.endswith("1 kept whole, not compared")


def test_names_of_the_original_and_shared_layers_are_told():
    model = Net()
    prepared = kerasfx.prepare_model(
        model, keras.Input((3, 4)), weights="share", names="original", verify=False
    )
    report = require_all_is_told(model, prepared)
    assert report.renamed["shared"] == model.shared.name
    assert report.layers[model.shared.name].path == "shared"
    assert "attention._query_dense" not in report.renamed


def test_what_is_kept_beside_the_graph_is_told():
    class Distilled(keras.Model):
        def __init__(self):
            super().__init__(name="distilled")
            self.student, self.teacher = keras.layers.Dense(3), keras.layers.Dense(3)

        def build(self, shape):
            self.teacher.build(shape)

        def call(self, x):
            return self.student(x)

        def train_step(self, data):
            return super().train_step(data)

    for keep in (True, False):
        prepared = kerasfx.prepare_model(Distilled(), keras.Input((4,)), keep_class=keep, verify=False)
        (teacher,) = (x for x in kerasfx.report(prepared).before if x.path == "teacher")
        assert teacher.became == "unused"
        assert ("keep_class" in teacher.why) == keep


def test_each_function_of_a_layer_that_stands_for_two_is_told():
    class Tied(keras.Model):
        def build(self, shape):
            self.table = self.add_weight(shape=(5, 4), name="table")

        def call(self, x):
            return ops.matmul(ops.take(self.table, x, axis=0), ops.transpose(self.table))

    report = kerasfx.report(kerasfx.prepare_model(Tied(), keras.Input((3,), dtype="int32")))
    (tied,) = (x for x in report.layers.values() if x.class_name == "ReversibleEmbedding")
    assert "take at" in tied.why
    assert "transpose and matmul at" in tied.why


def test_a_weight_that_is_assigned_is_taken_by_functions_of_the_user_alone():
    class Counting(keras.Model):
        def build(self, shape):
            self.count = self.add_weight(shape=(), trainable=False, name="count")

        def call(self, x):
            self.count.assign(self.count + 1)
            return x * self.count

    report = kerasfx.report(kerasfx.prepare_model(Counting(), keras.Input((4,))))
    assert report.layers["count"].why == "a weight taken by add and assigned"


def test_what_an_option_has_replaced_is_told():
    class Small(keras.Model):
        def __init__(self):
            super().__init__(name="small")
            self.act = keras.layers.ReLU(6.0)

        def call(self, x):
            return self.act(x)

    report = kerasfx.report(kerasfx.prepare_model(Small(), keras.Input((4,)), replace_relu6=True))
    assert report.before[1].why == "replaced by ReLU; put there by replace_relu6=True"
    assert "before replacing as asked equal bit for bit" in report.headline


def test_layers_of_a_prepared_model_are_no_code_of_others():
    model = Net()
    prepared = kerasfx.prepare_model(model, keras.Input((3, 4)), leaves=["whole"], verify=False)
    again = kerasfx.report(kerasfx.prepare_model(prepared, unshare=True, verify=False))
    assert {x.path for x in again.opaque} <= {"whole"}


def test_operations_of_a_portable_model_are_told():
    class Scaled(keras.Model):
        def build(self, shape):
            self.scale = self.add_weight(shape=(4,), name="scale")

        def call(self, x):
            return ops.sin(x) * self.scale

    report = kerasfx.report(kerasfx.prepare_model(Scaled(name="scaled"), keras.Input((4,)), portable=True))
    by_class = {x.class_name: x for x in report.layers.values()}
    assert by_class["Sin"].kind == "function"
    assert by_class["Sin"].module == "keras.ops"
    assert by_class["Embedding"].why == "the table of a weight that functions take (portable=True)"
    assert report.headline.startswith("'scaled': 2 layers and ")


def test_a_flat_model_stands_for_itself():
    x = keras.Input((4, 2), name="x")
    outputs = keras.layers.Bidirectional(keras.layers.LSTM(3), name="both")(x)
    model = keras.Model(x, outputs, name="flat")
    explained = kerasfx.explain(model)
    assert str(explained) == "'flat' is flat already and comes back unchanged."
    assert explained.result is None
    kerasfx.prepare_model(model)
    data = kerasfx.report(model).to_dict()
    assert data == {**explained.to_dict(), "result": "flat"}
    assert data["unchanged"]
    assert data["renamed"] == {}
    assert [(x["name"], x["path"], x["inputs"]) for x in data["layers"]] == [
        ("x", "x", []),
        ("both", "both", ["x"]),
    ]
    require_hierarchy(model, data["before"])


def test_what_would_become_of_each_layer():
    model = Net()
    explained = kerasfx.explain(model, keras.Input((3, 4)))
    prepared = kerasfx.report(kerasfx.prepare_model(model, keras.Input((3, 4)), verify=False))
    assert [(x.path, x.became, x.why) for x in explained.before] == [
        (x.path, x.became, x.why) for x in prepared.before
    ]
    assert explained.to_dict()["result"] is None
    assert [f for f in explained.findings if f.kind != "warning"] == [
        f for f in prepared.findings if f.kind != "warning"
    ]


def test_what_a_functional_model_calls_has_no_line():
    # Its code ran when it was made: the line on the stack is that of whoever prepares it.
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2, name="dense")(ops.sin(Mixer()(x))), name="functional")
    report = kerasfx.report(kerasfx.prepare_model(model, verify=False))
    assert report.layers["dense"].source is None
    assert [x.why for x in report.layers.values() if x.class_name == "Sin"] == ["keras.ops.sin"]
    assert report.layers["mixer_dense"].source is not None
