"""The text of a report fits a screen, whatever was found, and its shorter forms."""

import keras
import pytest

import kerasfx
from kerasfx.ir import SourceLine
from kerasfx.reporting import KINDS, Finding, OriginalLayer, Report, ResultLayer
from kerasfx.reporting.paths import folded
from kerasfx.reporting.screen import LINES

pytestmark = [pytest.mark.once, pytest.mark.quick]


def paths(form, *ranges):
    """The paths that a form gives for all numbers of the ranges."""
    found = [()]
    for numbers in ranges:
        found = [(*head, n) for head in found for n in numbers]
    return [form.format(*numbers) for numbers in found]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ""),
        ([""], "(the model)"),
        (["a"], "a"),
        (["a", "a"], "a"),
        (["a", "b"], "a, b"),
        (["", "a"], "(the model), a"),
        (["dense.kernel", "dense.bias"], "dense.{kernel,bias}"),
        (paths("blocks[{}].attn", range(12)), "blocks[0..11].attn"),
        (paths("blocks[{}]", [0, 2, 5]), "blocks[0,2,5]"),
        (paths("blocks[{}]", [3, 4]), "blocks[3,4]"),
        (paths("block_{}.attn", range(1, 4)), "block_{1..3}.attn"),
        (["block_7.attn"], "block_7.attn"),
        ([f"block_{i:02}" for i in range(1, 13)], "block_{01..12}"),
        (["block_1", "block_02", "block_3"], "block_{1,02,3}"),
        (paths("stages[{}].blocks[{}]", range(3), range(4)), "stages[0..2].blocks[0..3]"),
        (
            [*paths("stages[0].blocks[{}]", range(3)), *paths("stages[1].blocks[{}]", range(6))],
            "stages[0].blocks[0..2], stages[1].blocks[0..5]",
        ),
        (
            [
                f"{path}.{name}"
                for path in paths("blocks[{}].dense", range(24))
                for name in ("kernel", "bias")
            ],
            "blocks[0..23].dense.{kernel,bias}",
        ),
        (list("abcdef"), "a, b, c, d and 2 more"),
    ],
)
def test_paths_are_folded(given, expected):
    assert folded(given) == expected


def findings(kind, count, lines=1, hint="do it"):
    """Findings of which no two say the same."""
    words = "\n".join(["  more"] * (lines - 1))
    return [
        Finding(kind, f"path.{i}", f"what {i} of {kind}\n{words}".strip(), hint=hint) for i in range(count)
    ]


def test_what_is_alike_is_said_once():
    line = SourceLine("/net.py", 7, "x = f(x)")
    alike = [Finding("warning", f"b[{i}]", f"the tensor b_{i}_add of b[{i}] is odd", line) for i in range(12)]
    other = Finding("warning", "c", "the tensor c_add of c is even", line)
    text = str(Report("net", findings=[*alike[:6], other, *alike[6:]]))
    assert text.splitlines()[1:] == [
        "  warnings:",
        "    b[0..11] (12): the tensor b_0_add of b[0] is odd (/net.py:7)",
        "    c: the tensor c_add of c is even (/net.py:7)",
    ]


def test_what_differs_is_not_said_to_be_alike():
    # "a" is in all of the words, and 1 in 10.
    found = [Finding("warning", "a", "a was made"), Finding("warning", "b", "b wbs mbde")]
    found += [Finding("warning", "x[1]", "x_1_add takes 10"), Finding("warning", "x[2]", "x_2_add takes 20")]
    assert len(str(Report("net", findings=found)).splitlines()) == 6


@pytest.mark.parametrize("count", [1, 4, 40])
@pytest.mark.parametrize("lines", [1, 5, 50])
def test_a_text_fits_a_screen(count, lines):
    found = [f for kind in reversed(KINDS) for f in findings(kind, count, lines)]
    report = Report("net", findings=found, result="net_prepared")
    text = str(report).splitlines()
    assert len(text) <= LINES
    # Each kind is there, the worst first, and all that is not shown is counted.
    titles = [line for line in text if line.startswith("  ") and line[2] != " "]
    assert [t.strip().partition(":")[0] for t in titles[:-1]] == list(KINDS.values())
    assert "what 0 of opaque" in str(report)


def test_advice_that_is_repeated_is_given_once():
    lines = str(
        Report("net", findings=[*findings("dropped", 3), *findings("dropped", 1, hint="")])
    ).splitlines()
    assert [line.strip().partition(":")[0] for line in lines[2:]] == [
        *("path.0", "path.1", "path.2", "do", "path.0"),
    ]


def test_what_is_not_shown_is_counted():
    text = str(Report("net", findings=[*findings("opaque", 9), *findings("unused", 30)]))
    assert '    and 4 more: report.of_kind("opaque")' in text
    assert '    and 25 more: report.of_kind("unused")' in text


def test_values_that_were_read_are_counted_unless_they_are_few():
    few, many = (str(Report("net", findings=findings("fixed", n, hint=""))) for n in (3, 4))
    assert "what 2 of fixed" in few
    assert many.splitlines()[1:] == [f'  {KINDS["fixed"]}: 4, report.of_kind("fixed")']


def compared(exact=True, difference=0.0, *names):
    """What a comparison says of itself."""
    checks = [{"name": name} for name in ("outputs", *names)]
    numbers = {"equivalent": True, "exact": exact, "max_abs_difference": difference}
    return {**numbers, "notes": [], "checks": checks}


@pytest.mark.parametrize(
    ("comparison", "mode", "expected"),
    [
        (None, "both", "not compared"),
        (compared(), "both", "equal bit for bit in inference, not compared in training"),
        (compared(True, 0.0, "training outputs"), "both", "equal bit for bit"),
        (compared(False, 2.9e-7, "training outputs"), "both", "equal within 3e-07"),
        (compared(), "training", "equal bit for bit in training, which it is for alone"),
        (compared(False, 1e-6), "inference", "equal within 1e-06 in inference, which it is for alone"),
    ],
)
def test_a_headline_says_what_is_known(comparison, mode, expected):
    report = Report("net", {"": "Net"}, result="net_prepared", seconds=1.26, comparison=comparison, mode=mode)
    assert report.headline == f"'net': 0 layers from 1 opened, none kept whole, {expected}, 1.3 s"
    assert repr(report) == f"<Report {report.headline}>"


def test_a_model_that_cannot_be_prepared_is_said_to_be_one():
    class Root(keras.Model):
        def call(self, x):
            return x if keras.ops.sum(x) > 0 else -x

    report = kerasfx.explain(Root(name="root"), keras.Input((4,)))
    text = str(report).splitlines()
    assert text[0] == "'root' cannot be prepared as it is"
    assert text[1].startswith("  bool() of the tensor")
    assert "could not be opened" not in str(report)
    assert any(line.strip().startswith("do:") for line in text)
    assert [(x.path, x.became) for x in report.before] == [("", "whole")]


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.norm, self.dense, self.drop = (
            keras.layers.LayerNormalization(),
            keras.layers.Dense(4),
            keras.layers.Dropout(0.1),
        )
        self.spare = keras.layers.Dense(2)
        self.odd = Odd()

    def build(self, shape):
        self.spare.build(shape)

    def call(self, x):
        return x + self.odd(self.drop(self.dense(self.norm(x))))


class Odd(keras.layers.Layer):
    def call(self, x):
        return x if keras.ops.sum(x) > 0 else -x

    def compute_output_shape(self, shape):
        return shape


class Large(keras.Model):
    def __init__(self):
        super().__init__(name="large")
        self.blocks = [Block() for _ in range(24)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_a_large_model_fits_a_screen():
    report = kerasfx.report(kerasfx.prepare_model(Large(), keras.Input((4,)), verify=False))
    text = str(report)
    assert len(report.layers) == 121
    assert len(text.splitlines()) < 20
    assert report.headline.startswith("'large': 121 layers from 25 opened, 24 kept whole, not compared, ")
    assert "    blocks[0..23].odd (24): Odd is kept whole: bool()" in text
    assert "    blocks[0..23].spare.{kernel,bias} (48): no output depends on it" in text
    assert max(len(repr(x)) for x in (report, *report.findings, *report.layers.values())) < 200


def test_what_would_be_opened_is_listed_by_class():
    opened = {"": "Net", **{f"blocks[{i}]": "Block" for i in range(12)}}
    text = str(Report("net", opened)).splitlines()
    assert text[1:] == ["  would be opened:", "    (the model): Net", "    blocks[0..11] (12): Block"]
    opened = {f"layer_{i}x": f"Layer{i}" for i in range(30)}
    found = [f for kind in KINDS for f in findings(kind, 40, 50)]
    text = str(Report("net", opened, findings=found)).splitlines()
    assert len(text) <= LINES
    assert text[-1] == "    and 22 more classes: report.opened"


def test_records_are_told_in_a_line():
    source = SourceLine("/net.py", 7, "x = f(x)")
    finding = Finding("opaque", "a.b", f"{'long ' * 30}\nsecond line", source)
    assert repr(finding) == f"<Finding opaque: a.b: {('long ' * 19)[:92].rstrip()}...>"
    part = OriginalLayer("a.b", "Block", "net", "a", "opened", 3)
    assert repr(part) == "<OriginalLayer 'a.b': Block, opened>"
    layer = ResultLayer("a_b", "Dense", "keras.layers", "a.b", "layer", "(None, 3)", "float32", why="matmul")
    assert repr(layer) == "<ResultLayer 'a_b': Dense (None, 3), matmul>"


def test_a_notebook_shows_the_headline_and_the_findings():
    bad = Finding("opaque", "<b>", "x < y & 'z'", hint="<script>")
    html = Report("<net>", findings=[bad, *findings("unused", 30)])._repr_html_()
    assert "<script>" not in html
    assert "&lt;b&gt;" in html
    assert "x &lt; y &amp; &#x27;z&#x27;" in html
    assert html.count("<tr>") == 1 + 2 + 1 + 5 + 1
    assert "and 25 more" in html
    assert "<table>" not in Report("net")._repr_html_()
