"""The judgement of `make zoo`: what is right passes, and each way to be wrong is told by its name."""

import importlib

import keras
import pytest
from keras import ops

import kerasfx
from benchmarks.zoo import ENTRIES, MODULE_OF, PACKAGE_OF, VISION, example, judge, keras_io, layers
from benchmarks.zoo.example import BATCH, TIME, Example, Tensor
from benchmarks.zoo.verdict import NOT_APPLICABLE, YES, Verdict, as_markdown, side_by_side
from kerasfx.handover import provenance

pytestmark = [pytest.mark.any_keras, pytest.mark.any_backend]


class Scaled(keras.Model):
    """A Dense over time steps, scaled; one of its weights is not used."""

    def __init__(self):
        super().__init__(name="scaled")
        self.dense = keras.layers.Dense(4)
        self.unused = self.add_weight(shape=(3,), name="unused")
        self.factor = self.add_weight(shape=(4,), initializer="ones", name="factor")

    def call(self, x):
        return self.dense(x) * self.factor


class Counted(keras.layers.Layer):
    """Kept whole: it reads a metric."""

    def __init__(self):
        super().__init__()
        self.seen = keras.metrics.Mean(name="seen")

    def call(self, x):
        self.seen.update_state(ops.mean(x))
        return x + self.seen.result()


@pytest.fixture
def scaled():
    """An example with a free batch and a free length."""
    return Example(Scaled(), (Tensor((BATCH, TIME, 4), example.normal()),))


@pytest.fixture
def not_loaded(monkeypatch):
    """Saves the seconds that another process takes."""
    monkeypatch.setattr(judge, "_equal_elsewhere", lambda *args: YES)


def prepared_then(change):
    """A `prepare_model` whose result is changed."""

    def prepare(model, input_layer):
        prepared = kerasfx.prepare_model(model, input_layer)
        return change(prepared) or prepared

    return prepare


def posing_as(prepared, other):
    """`other`, as if it had been prepared like `prepared`."""
    object.__setattr__(other, "_kerasfx_report", kerasfx.report(prepared))
    provenance.attach(other, provenance.provenance_of(prepared))
    return other


def test_a_right_model_is_right(scaled):
    verdict = judge.judge("scaled", scaled, blocked="keras_hub")
    assert verdict.causes == []
    assert verdict.right
    assert (verdict.lost, verdict.unused, verdict.opaque) == ([], 1, [])
    assert (verdict.batch_free, verdict.length_free, verdict.loads) == (YES, YES, YES)
    assert Verdict.from_json(verdict.as_json()) == verdict


def test_a_model_that_needs_the_blocked_package_does_not_load(scaled):
    verdict = judge.judge("scaled", scaled, blocked="kerasfx")
    assert [cause[:30] for cause in verdict.causes] == ["loads: loading: ImportError: k"]


@pytest.mark.usefixtures("not_loaded")
class TestWrong:
    def test_numbers(self, scaled):
        def change(prepared):
            factor = next(v for v in prepared.variables if tuple(v.shape) == (4,))
            factor.assign(factor + 1.0)

        verdict = judge.judge("scaled", scaled, prepare=prepared_then(change))
        assert verdict.causes[0].startswith("differs: variables: ")
        assert any(cause.startswith("batch: ") for cause in verdict.causes)
        assert not verdict.right

    def test_a_frozen_weight(self, scaled):
        """Its outputs are those of the original, until a weight changes."""

        def change(prepared):
            x = keras.Input((None, 4))
            dense = next(layer for layer in prepared.layers if isinstance(layer, keras.layers.Dense))
            return posing_as(prepared, keras.Model(x, dense(x) * ops.ones((4,))))

        verdict = judge.judge("scaled", scaled, prepare=prepared_then(change))
        assert (verdict.batch_free, verdict.length_free) == (YES, YES)
        assert any(cause.startswith("differs: perturbed outputs") for cause in verdict.causes)

    def test_a_fixed_batch(self, scaled):
        def change(prepared):
            x = keras.Input((None, 4))
            return posing_as(prepared, keras.Model(x, ops.take(prepared(x), [0, 1], axis=0)))

        verdict = judge.judge("scaled", scaled, prepare=prepared_then(change))
        assert verdict.batch_free.startswith("{'batch': 1}: ")
        assert verdict.length_free == YES
        assert not verdict.right

    def test_a_fixed_length(self, scaled):
        def prepare(model, input_layer):
            return kerasfx.prepare_model(model, keras.Input((8, 4)))

        verdict = judge.judge("scaled", scaled, prepare=prepare)
        assert [cause[:19] for cause in verdict.causes] == ["length: {'time': 4}"]

    def test_a_lost_variable(self, scaled):
        """It is called unused, and outputs depend on it."""

        def change(prepared):
            record = provenance.provenance_of(prepared)
            record.variables.pop()

        verdict = judge.judge("scaled", scaled, prepare=prepared_then(change))
        assert len(verdict.lost) == 2
        assert verdict.causes[-1].startswith("lost: ")

    def test_a_variable_that_the_report_does_not_name(self, scaled):
        def change(prepared):
            kerasfx.report(prepared).findings.clear()

        verdict = judge.judge("scaled", scaled, prepare=prepared_then(change))
        assert verdict.causes == [f"lost: {scaled.model.unused.path}"]

    def test_a_layer_kept_whole(self):
        x = keras.Input((None, 4))
        model = keras.Model(x, Counted()(x))
        verdict = judge.judge("counted", example.of_functional(model))
        assert verdict.causes[0].startswith("opaque: counted: Counted is kept whole: The state of a metric")

    def test_no_model_at_all(self, scaled):
        def prepare(model, input_layer):
            raise ValueError("no\nway")

        assert judge.judge("scaled", scaled, prepare=prepare).causes == ["ValueError: no way"]


@pytest.mark.usefixtures("not_loaded")
def test_a_length_that_the_original_refuses_is_not_asked_for():
    x = keras.Input((None, 4))
    model = keras.Model(x, keras.layers.Reshape((8, 4))(x))
    verdict = judge.judge("reshaped", example.of_functional(model))
    assert verdict.length_free == NOT_APPLICABLE
    assert verdict.right


def test_several_arguments_are_passed_by_name():
    layer = keras.layers.MultiHeadAttention(2, 4)
    query, value = Tensor((BATCH, TIME, 4), example.normal()), Tensor((BATCH, 3, 4), example.normal(1))
    attention = Example(layer, (query,), {"value": value, "use_causal_mask": False})
    assert set(attention.prepared_inputs({})) == {"query", "value"}
    assert attention.prepared_inputs({"time": 5})["query"].shape == (2, 5, 4)
    assert [axis.name for axis in attention.axes()] == ["batch", "time"]


def test_the_table_counts_and_explains():
    right = Verdict("a", "jax", exact=True, batch_free=YES, length_free=NOT_APPLICABLE, loads=YES)
    text = as_markdown("jax", [right, Verdict("b", "jax", error="ValueError: no way")])
    assert text.startswith("### jax: 1 of 2 right\n")
    assert text.endswith("- `b`: ValueError: no way")


def test_the_summary_has_a_column_for_each_backend():
    right = Verdict("a", "jax", exact=True, batch_free=YES, length_free=YES, loads=YES, seconds=1.0)
    wrong = Verdict("a", "torch", error="ValueError: no way")
    lines = side_by_side({"jax": [right], "torch": [wrong]}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:4]]
    assert [cells[0], *cells[2:]] == [
        ["entry", "jax", "torch"],
        ["a", "exact, 1.0 s", "NO"],
        ["right", "1 of 1", "0 of 1"],
    ]
    assert lines[-1] == "- `a` on torch: ValueError: no way"


def test_every_entry_belongs_to_one_package():
    assert len(PACKAGE_OF) == len(MODULE_OF) == sum(map(len, ENTRIES.values()))


@pytest.mark.parametrize("name", keras_io.ENTRIES)
def test_the_modules_of_keras_io_have_the_entries_that_they_are_said_to_have(name):
    module = importlib.import_module(f"benchmarks.zoo.keras_io.{name}")
    made_there = {n for n, f in vars(module).items() if n.startswith("kio_") and callable(f)}
    assert made_there == set(keras_io.ENTRIES[name])
    assert all("/" in getattr(module, n).__doc__ for n in made_there), "each names its example"


class Stepping(keras.Model):
    """Trains by a step of its own, on labels that it makes itself."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((y_pred - 1.0) ** 2)


def stepping():
    """An example that is trained by its own step."""

    def own_step(model):
        model.compile(keras.optimizers.SGD(0.1))
        return model.fit(example.normal()((4, 4)), batch_size=2, shuffle=False, verbose=0).history

    x = Tensor((BATCH, 4), example.normal())
    return Example(Stepping(), (x,), own_step=own_step, has_own_step=True)


@pytest.mark.usefixtures("not_loaded")
class TestOwnStep:
    def test_it_learns_what_the_original_learns(self):
        verdict = judge.judge("stepping", stepping())
        assert verdict.causes == []
        assert verdict.own_step == YES

    def test_another_step(self):
        def change(prepared):
            prepared.dense.bias.trainable = False

        verdict = judge.judge("stepping", stepping(), prepare=of_its_class_then(change))
        assert [cause[:10] for cause in verdict.causes] == ["own step: "]

    def test_a_step_that_raises(self):
        def change(prepared):
            prepared.fit = None

        verdict = judge.judge("stepping", stepping(), prepare=of_its_class_then(change))
        assert verdict.causes == ["own step: TypeError: 'NoneType' object is not callable"]


def of_its_class_then(change):
    """A `prepare_model` that changes what has the class of the original alone."""

    def prepare(model, input_layer, **options):
        prepared = kerasfx.prepare_model(model, input_layer, **options)
        if options:
            change(prepared)
        return prepared

    return prepare


class Halved(keras.Model):
    """A Dense, a product that is lowered, and one that no layer of Keras computes."""

    def __init__(self):
        super().__init__(name="halved")
        self.dense = keras.layers.Dense(4)

    def call(self, x):
        return ops.sort(self.dense(x) * 0.5)


def test_layers_are_counted_by_kind():
    before, after = layers.counts(Example(Halved(), (Tensor((BATCH, 4), example.normal()),)))
    assert (before.layers, before.built_in, before.functions, before.others) == (3, 1, 2, 0)
    assert (after.layers, after.built_in, after.functions, after.others) == (3, 2, 1, 0)
    assert set(VISION) <= set(PACKAGE_OF)
    lines = layers.table({"hub_t5": (before, before), VISION[0]: (before, after)}).splitlines()
    numbers = "6 | 2 | 4 | 0 | 33.3 | 6 | 3 | 3 | 0 | 50.0"
    assert " ".join(lines[-1].split()) == f"| all (goal 85 %) | {numbers} |"
    assert "vision (goal 95 %)" in lines[-2]
    assert " 66.7 " in lines[-2]
