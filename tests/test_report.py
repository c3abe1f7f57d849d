"""report and explain: what was opened, kept and renamed, and all findings of one run."""

import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasfx
from kerasfx.ir import SourceLine
from kerasfx.reporting import KINDS, Finding, Report

pytestmark = [pytest.mark.any_backend, pytest.mark.quick]


class Scale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


class Known(keras.layers.Layer):
    """A layer that says its output shape, so that it can stay whole whatever its `call` does."""

    def compute_output_shape(self, shape):
        return shape


class Reads(Known):
    """Reads a value into Python."""

    def call(self, x):
        return x if bool(keras.ops.sum(x) > 0) else -x


class Counts(Known):
    """Decides by a free size."""

    def call(self, x):
        return x if int(keras.ops.shape(x)[0]) > 2 else -x


class Net(keras.Model):
    def __init__(self, *odd):
        super().__init__(name="net")
        self.scale = Scale()
        self.proj = keras.layers.Dense(4)
        self.unused = keras.layers.Dense(2)
        self.odd = list(odd)

    def build(self, shape):
        for layer in (self.scale, self.proj, self.unused):
            layer.build(shape)

    def call(self, x):
        x = self.proj(self.scale(x))
        for layer in self.odd:
            x = layer(x)
        return x


LINE = "        return x if bool(keras.ops.sum(x) > 0) else -x"
"""The line of `Reads` that cannot be opened."""

KEPT = """
  kept whole, because they could not be opened:
    odd[0..2] (3): Reads is kept whole: bool() of the tensor odd_0_greater (bool, shape ()) is not known \
while tracing.
      where: odd[0] (Reads), FILE:LINE: return x if bool(keras.ops.sum(x) > 0) else -x
      why:   it has a value only when the model runs
      do:    use ops.where, ops.logical_and/or/not or ops.cond instead of if/and/or/not"""

UNUSED = """
  what no output depends on:
    unused.{kernel,bias} (2): no output depends on it: the result does not have it"""


def text_of(report):
    """The text of a report, without what another run has otherwise."""
    number = 1 + Path(__file__).read_text().splitlines().index(LINE)
    text = str(report).replace(f"{__file__}:{number}:", "FILE:LINE:")
    return re.sub(r"\d+\.\d s", "0.0 s", text)


def test_golden():
    prepared = kerasfx.prepare_model(Net(Reads(), Reads(), Reads()), keras.Input((4,)))
    assert text_of(kerasfx.report(prepared)) == (
        "'net': 6 layers from 2 opened, 3 kept whole, equal bit for bit in inference, "
        f"not compared in training, 0.0 s{KEPT}{UNUSED}"
        '\n  report.layers has all 6 layers, report.to_html("report.html") '
        "shows them beside those of the original"
    )


def test_golden_where_nothing_was_made():
    assert text_of(kerasfx.explain(Net(Reads(), Reads(), Reads()), keras.Input((4,)))) == (
        "'net': 2 layers would be opened, 3 kept whole, in a graph of 4 layers and 1 function, "
        f"nothing was made{KEPT}{UNUSED}"
        "\n  would be opened:\n    (the model): Net\n    scale: Scale"
    )


def test_the_report_is_data():
    report = kerasfx.report(kerasfx.prepare_model(Net(), keras.Input((4,))))
    assert report.model == "net"
    assert report.opened == {"": "Net", "scale": "Scale"}
    multiply = report.layers["scale_multiply"]
    assert (multiply.path, multiply.class_name) == ("scale", "MultiplyOp")
    assert "proj" not in report.renamed
    assert report.seconds > 0
    assert not report.unchanged
    assert [f.kind for f in report.findings] == ["unused", "unused"]


def test_a_flat_model_is_reported_unchanged():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(x), name="flat")
    assert kerasfx.prepare_model(model) is model
    report = kerasfx.report(model)
    assert report.unchanged
    assert str(report) == "'flat' is flat already and comes back unchanged."


def test_a_model_from_elsewhere_has_no_report():
    with pytest.raises(ValueError, match="has no report") as caught:
        kerasfx.report(Net())
    assert str(caught.value) == (
        "Net 'net' has no report: it was not made by kerasfx.prepare_model or kerasfx.emit in this process, "
        "and files hold no reports.\n"
        "  do:    kerasfx.report(kerasfx.prepare_model(original, inputs)); or write it beside the file "
        "when you save: json.dump(kerasfx.report(prepared).to_dict(), file)"
    )


def test_a_loaded_model_has_no_report(tmp_path):
    prepared = kerasfx.prepare_model(Net(), keras.Input((4,)))
    prepared.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="has no report"):
        kerasfx.report(keras.models.load_model(tmp_path / "model.keras"))


def test_findings_are_grouped_by_kind():
    findings = [Finding(kind, f"path.{kind}", f"what {kind}") for kind in reversed(KINDS)]
    lines = str(Report("net", findings=findings)).splitlines()[1:]
    expected = []
    for kind, title in KINDS.items():
        expected += [f"  {title}:", f"    path.{kind}: what {kind}"]
    assert lines == expected


def test_a_finding_shows_its_line_and_its_hint():
    source = SourceLine("/home/u/net.py", 7, "x = f(x)")
    finding = Finding("warning", "a.b", "odd", source, hint="leave it")
    assert str(finding) == "a.b: odd (/home/u/net.py:7)\n  do:    leave it"


class TestExplain:
    def test_lists_all_findings_of_one_run(self):
        model = Net(Reads(), Counts(), Reads())
        report = kerasfx.explain(model, keras.Input((4,)))
        assert [f.path for f in report.opaque] == ["odd[0]", "odd[1]", "odd[2]"]
        for finding, reason in zip(report.opaque, ("bool()", "x.shape[0]", "bool()"), strict=True):
            assert re.match(r"\w+ is kept whole: ", finding.what)
            assert reason.replace("x.", "") in finding.what
        assert report.opened == {"": "Net", "scale": "Scale"}

    def test_says_where_in_the_users_code(self):
        [finding] = kerasfx.explain(Net(Reads()), keras.Input((4,))).opaque
        number = 1 + Path(__file__).read_text().splitlines().index(LINE)
        assert f"{__file__}:{number}" in str(finding)

    def test_a_model_that_cannot_be_represented_is_a_finding(self):
        class Root(keras.Model):
            def call(self, x):
                return x if keras.ops.sum(x) > 0 else -x

        report = kerasfx.explain(Root(name="root"), keras.Input((4,)))
        [finding] = report.opaque
        assert finding.path == ""
        assert "bool()" in finding.what

    def test_tells_of_requests_and_warnings(self):
        model = Net()
        model.build((None, 4))
        report = kerasfx.explain(model, leaves=["scale"])
        assert [f.kind for f in report.findings] == ["warning", "kept", "unused", "unused"]

    def test_makes_no_model_and_changes_none(self):
        model = Net(Reads())
        model(np.zeros((2, 4), "float32"))
        before = [keras.ops.convert_to_numpy(v) for v in model.variables]
        report = kerasfx.explain(model, keras.Input((4,)))
        assert report.layers == {}
        assert all(
            (a == keras.ops.convert_to_numpy(b)).all() for a, b in zip(before, model.variables, strict=True)
        )

    def test_agrees_with_the_report_of_prepare_model(self):
        model = Net(Reads())
        explained = kerasfx.explain(model, keras.Input((4,)))
        report = kerasfx.report(kerasfx.prepare_model(model, keras.Input((4,)), weights="share"))
        assert report.opened == explained.opened
        assert [f for f in report.findings if f.kind == "opaque"] == explained.opaque

    def test_refuses_what_prepare_model_refuses(self):
        with pytest.raises(kerasfx.errors.UnsupportedModelError):
            kerasfx.explain("net")
        with pytest.raises(kerasfx.errors.InputRequiredError):
            kerasfx.explain(Net())


class Choosy(keras.layers.Layer):
    """Branches on attributes, in `call` and in a method of its own."""

    def __init__(self, use_bias=True):
        super().__init__()
        self.use_bias = use_bias
        self.order = "first"
        self.never_asked = 3
        self.cache = None
        self.inner = keras.layers.Dense(4)

    def call(self, x, training=None):
        if self.use_bias and training:
            x = x + 1.0
        if self.inner is not None:
            x = self.inner(x)
        return self.arranged(x) * self.never_asked

    def arranged(self, x):
        x = x if self.cache is None else x + self.cache
        return x if self.order == "first" else -x


def test_values_that_call_branches_on_are_listed():
    inputs = keras.Input((4,))
    layers = [Choosy(), Choosy(), Choosy(use_bias=False)]
    model = keras.Sequential([inputs, *layers])
    found = kerasfx.report(kerasfx.prepare_model(model)).of_kind("fixed")
    assert sorted(f.what for f in found) == [
        "self.cache is None, also in 2 more Choosy",
        "self.order is 'first', also in 2 more Choosy",
        "self.use_bias is False",
        "self.use_bias is True, also in 1 more Choosy",
    ]
    lines = {f.what.split()[0]: f.source.text for f in found}
    assert lines["self.use_bias"] == "if self.use_bias and training:"
    assert lines["self.order"].endswith('if self.order == "first" else -x')


class Symbolic(keras.layers.Layer):
    """Does something else where Keras infers shapes, which tracing looks like."""

    def call(self, x):
        if not keras.backend.is_keras_tensor(x):
            x = x + 1.0
        return x * (3.0 if isinstance(x, keras.KerasTensor) else 2.0)


def test_a_question_whether_a_tensor_is_symbolic_is_listed():
    model = keras.Sequential([keras.Input((4,)), Symbolic()])
    found = kerasfx.report(kerasfx.prepare_model(model, verify=False)).of_kind("fixed")
    assert sorted(f.what for f in found) == [
        "isinstance(x, keras.KerasTensor) is True",
        "keras.backend.is_keras_tensor(x) is True",
    ]
    with pytest.raises(kerasfx.errors.NotEquivalentError):
        kerasfx.prepare_model(model)


class Recomputed(keras.layers.Layer):
    """A function that is computed again in the backward pass."""

    def call(self, x):
        return keras.remat(lambda y: keras.ops.tanh(y) * 2.0)(x)


def test_what_is_not_computed_again_is_told():
    with keras.RematScope(mode="full"):
        dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((4,)), dense, Recomputed()])
    found = kerasfx.report(kerasfx.prepare_model(model)).of_kind("dropped")
    assert [f.what.partition(":")[0] for f in found] == ["RematScope", "keras.remat"]
    assert all("keeps in memory what the original computes again" in f.what for f in found)


class Adds(Known):
    """Holds an array that is too large for the arguments of an op."""

    def __init__(self):
        super().__init__()
        self.table = np.ones((3,), "float32")

    def call(self, x):
        return keras.ops.add(x, self.table)


def test_a_fault_of_kerasfx_is_told_from_one_of_the_code(monkeypatch):
    monkeypatch.setattr(importlib.import_module("kerasfx.tracing.arguments"), "INLINE_SIZE", None)
    model = keras.Sequential([keras.Input((3,)), Adds()])
    [finding] = kerasfx.explain(model).opaque
    assert "kerasfx itself failed on it, which is a fault to report: TypeError" in finding.what
    assert re.search(r"arguments\.py:\d+: if array\.size > inline:", finding.what)
    [finding] = kerasfx.explain(keras.Sequential([keras.Input((3,)), Reads()])).opaque
    assert "itself failed" not in finding.what
