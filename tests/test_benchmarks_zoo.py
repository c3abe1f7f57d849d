"""The judgement of `make zoo`: what is right passes, and each way to be wrong is told by its name."""

import importlib
import os

import keras
import pytest
from keras import ops

import kerasfx
from benchmarks.zoo import (
    ENTRIES,
    MODULE_OF,
    ONLY,
    PACKAGE_OF,
    VISION,
    Only,
    cost,
    example,
    judge,
    keras_io,
    layers,
    results,
)
from benchmarks.zoo import not_applicable as why_not_applicable
from benchmarks.zoo.cost import peak_above_present, relative_time
from benchmarks.zoo.example import BATCH, TIME, Example, Tensor
from benchmarks.zoo.loader import Helper, Loader
from benchmarks.zoo.verdict import NOT_APPLICABLE, YES, Verdict
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
def ask(tmp_path, monkeypatch):
    """Judges an example; its time is measured once."""
    monkeypatch.setattr(cost, "SECONDS", 0.0)

    def ask(example, prepare=kerasfx.prepare_model):
        return judge.judge("scaled", example, tmp_path / "saved", prepare)

    return ask


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


def test_a_right_model_is_right(scaled, ask):
    """As far as one process can tell: nobody loaded it yet."""
    verdict = ask(scaled)
    assert (verdict.loads, verdict.causes) == ("", ["loads: "])
    verdict.loads = YES
    assert verdict.right
    assert (verdict.lost, verdict.unused, verdict.opaque) == ([], 1, [])
    assert (verdict.batch_free, verdict.length_free) == (YES, YES)
    assert verdict.seconds > 0 < verdict.built_in
    assert verdict.mebibytes >= 0
    assert verdict.relative_time is not None
    assert Verdict.from_json(verdict.as_json()) == verdict


def test_one_process_loads_several_models_and_tells_which_is_wrong(scaled, tmp_path):
    prepared = kerasfx.prepare_model(scaled.model, scaled.input_layer())
    assert judge.save(scaled, prepared, tmp_path / "a") == ""
    judge.save(scaled, prepared, tmp_path / "b")
    (tmp_path / "b" / "expected.npz").write_bytes((tmp_path / "b" / "inputs.npz").read_bytes())
    (tmp_path / "c").mkdir()
    loader = Loader(os.environ)
    needs_it = loader.ask(tmp_path / "a", ["kerasfx"])
    answers = [loader.ask(tmp_path / name, ["keras_hub"]) for name in "abca"]
    loader.close()
    assert needs_it.startswith("loading: ImportError: kerasfx must not be needed")
    assert [answer[:9] for answer in answers] == [YES, "loaded: o", "loading: ", YES]


class TestWrong:
    def test_numbers(self, scaled, ask):
        def change(prepared):
            factor = next(v for v in prepared.variables if tuple(v.shape) == (4,))
            factor.assign(factor + 1.0)

        verdict = ask(scaled, prepared_then(change))
        assert verdict.causes[0].startswith("differs: variables: ")
        assert any(cause.startswith("batch: ") for cause in verdict.causes)
        assert not verdict.right

    def test_a_frozen_weight(self, scaled, ask):
        """Its outputs are those of the original, until a weight changes."""

        def change(prepared):
            x = keras.Input((None, 4))
            dense = next(layer for layer in prepared.layers if isinstance(layer, keras.layers.Dense))
            return posing_as(prepared, keras.Model(x, dense(x) * ops.ones((4,))))

        verdict = ask(scaled, prepared_then(change))
        assert (verdict.batch_free, verdict.length_free) == (YES, YES)
        assert any(cause.startswith("differs: perturbed outputs") for cause in verdict.causes)

    def test_a_fixed_batch(self, scaled, ask):
        def change(prepared):
            x = keras.Input((None, 4))
            return posing_as(prepared, keras.Model(x, ops.take(prepared(x), [0, 1], axis=0)))

        verdict = ask(scaled, prepared_then(change))
        assert verdict.batch_free.startswith("{'batch': 1}: ")
        assert verdict.length_free == YES
        assert not verdict.right

    def test_a_fixed_length(self, scaled, ask):
        def prepare(model, input_layer):
            return kerasfx.prepare_model(model, keras.Input((8, 4)))

        verdict = ask(scaled, prepare)
        assert [cause[:19] for cause in verdict.causes] == ["length: {'time': 4}", "loads: "]

    def test_a_lost_variable(self, scaled, ask):
        """It is called unused, and outputs depend on it."""

        def change(prepared):
            record = provenance.provenance_of(prepared)
            record.variables.pop()

        verdict = ask(scaled, prepared_then(change))
        assert len(verdict.lost) == 2
        assert verdict.causes[-2].startswith("lost: ")

    def test_a_variable_that_the_report_does_not_name(self, scaled, ask):
        def change(prepared):
            kerasfx.report(prepared).findings.clear()

        verdict = ask(scaled, prepared_then(change))
        assert verdict.causes[0] == f"lost: {scaled.model.unused.path}"

    def test_a_layer_kept_whole(self, ask):
        x = keras.Input((None, 4))
        model = keras.Model(x, Counted()(x))
        verdict = ask(example.of_functional(model))
        assert verdict.causes[0].startswith("opaque: counted: Counted is kept whole: The state of a metric")

    def test_no_model_at_all(self, scaled, ask):
        def prepare(model, input_layer):
            raise ValueError("no\nway")

        assert ask(scaled, prepare).causes == ["ValueError: no way"]


def test_of_a_flat_model_which_comes_back_as_it_is_nothing_is_lost(ask):
    x = keras.Input((4,))
    verdict = ask(example.of_functional(keras.Model(x, keras.layers.Dense(2)(x))))
    assert (verdict.lost, verdict.causes) == ([], ["loads: "])


def test_a_length_that_the_original_refuses_is_not_asked_for(ask):
    x = keras.Input((None, 4))
    model = keras.Model(x, keras.layers.Reshape((8, 4))(x))
    verdict = ask(example.of_functional(model))
    assert verdict.length_free == NOT_APPLICABLE
    assert verdict.causes == ["loads: "]


def test_several_arguments_are_passed_by_name():
    layer = keras.layers.MultiHeadAttention(2, 4)
    query, value = Tensor((BATCH, TIME, 4), example.normal()), Tensor((BATCH, 3, 4), example.normal(1))
    attention = Example(layer, (query,), {"value": value, "use_causal_mask": False})
    assert set(attention.prepared_inputs({})) == {"query", "value"}
    assert attention.prepared_inputs({"time": 5})["query"].shape == (2, 5, 4)
    assert [axis.name for axis in attention.axes()] == ["batch", "time"]


def right(entry, backend="jax", **fields):
    """A verdict with nothing to complain about."""
    return Verdict(entry, backend, batch_free=YES, length_free=NOT_APPLICABLE, loads=YES, **fields)


FIRST, SECOND, THIRD = list(PACKAGE_OF)[:3]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_counts_and_explains():
    versions = {"Python": "3.11.7", "keras": "3.15.1", "jax": "0.10.2", "keras-hub": "0.32.0"}
    wrong = Verdict(SECOND, "jax", error="ValueError: no way")
    elsewhere = Verdict(THIRD, "jax", not_applicable="It calls TensorFlow.")
    text = results.section("jax", [right(FIRST, exact=True, versions=versions), wrong, elsewhere])
    lines = text.splitlines()
    assert lines[0] == "## JAX: 1 of 2 right"
    assert lines[2] == "Python 3.11.7, keras 3.15.1, jax 0.10.2"
    assert cells(lines[6])[:3] == [f"`{FIRST}`", "keras-hub 0.32.0", "yes"]
    assert [cells(line)[2] for line in lines[7:9]] == ["NO", "n/a"]
    assert lines[-2:] == [f"- `{SECOND}`: ValueError: no way", f"- `{THIRD}`, n/a: It calls TensorFlow."]


def test_shares_are_of_the_originals_that_work():
    found = [
        right(FIRST, exact=True),
        right(SECOND, opaque=["x: X is kept whole"], exact=True),
        Verdict(THIRD, "jax", not_applicable="It calls TensorFlow."),
    ]
    row = cells(results.summary({"jax": found}).splitlines()[2])
    assert row == ["JAX", "3", "1", "1", "50.0", "50.0", "50.0", "95", "50.0"]


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


class TestOwnStep:
    def test_it_learns_what_the_original_learns(self, ask):
        verdict = ask(stepping())
        assert verdict.causes == ["loads: "]
        assert verdict.own_step == YES

    def test_another_step(self, ask):
        def change(prepared):
            prepared.dense.bias.trainable = False

        verdict = ask(stepping(), of_its_class_then(change))
        assert [cause[:10] for cause in verdict.causes] == ["loads: ", "own step: "]

    def test_a_step_that_raises(self, ask):
        def change(prepared):
            prepared.fit = None

        verdict = ask(stepping(), of_its_class_then(change))
        assert verdict.causes[-1] == "own step: TypeError: 'NoneType' object is not callable"


def of_its_class_then(change):
    """A `prepare_model` that changes what has the class of the original alone."""

    def prepare(model, input_layer, **options):
        prepared = kerasfx.prepare_model(model, input_layer, **options)
        if options:
            change(prepared)
        return prepared

    return prepare


def test_a_run_renews_its_own_rows_alone(tmp_path):
    kept, page = tmp_path / "results.jsonl", tmp_path / "results.md"
    gone = right("an_entry_of_the_past")
    results.write([right(FIRST), right(SECOND), gone, right(FIRST, "torch")], kept, page)
    wrong = Verdict(FIRST, "jax", error="ValueError: no way")
    expected = [wrong, right(SECOND), right(FIRST, "torch")]
    assert results.write([wrong], kept, page) == expected == results.read(kept)
    assert "## JAX: 1 of 2 right" in page.read_text()


def test_the_page_is_that_of_the_verdicts_kept():
    assert results.PAGE.read_text() == results.as_markdown(results.read())


def test_a_process_that_ends_is_told_and_another_takes_its_place():
    doubles = (
        "import sys\nfor line in sys.stdin: print(2 * int(line), flush=True) if int(line) else sys.exit(3)"
    )
    helper = Helper(["-c", doubles], os.environ)
    assert [helper.ask(2), helper.ask(3)] == [4, 6]
    with pytest.raises(ChildProcessError, match="the process ended with 3"):
        helper.ask(0)
    assert helper.ask(5) == 10
    helper.close()


def test_memory_is_what_is_held_at_most():
    taken, mebibytes = peak_above_present(lambda: len(bytearray(64 * 2**20)))
    assert taken == 64 * 2**20
    assert 50 < mebibytes < 150


def test_a_model_that_does_more_takes_longer():
    def matrices(count):
        x = keras.Input((64, 64))
        y = x
        for _ in range(count):
            y = ops.sin(ops.matmul(y, y))
        return keras.Model(x, y)

    tensor = Tensor((BATCH, 64, 64), example.normal())
    assert relative_time(Example(matrices(1), (tensor,)), matrices(40)) > 2
    assert relative_time(Example(matrices(40), (tensor,)), matrices(1)) < 0.5


def test_an_original_that_does_not_compile_has_no_time():
    class Converted(keras.layers.Layer):
        def call(self, x):
            return ops.convert_to_tensor(keras.backend.convert_to_numpy(x))

    tensor = Tensor((BATCH, 4), example.normal())
    assert relative_time(Example(Converted(), (tensor,)), keras.Sequential([keras.Input((4,))])) is None


def test_an_original_works_on_some_backends_alone(monkeypatch):
    monkeypatch.setitem(ONLY, FIRST, Only(("tensorflow",), "It calls TensorFlow."))
    assert why_not_applicable(FIRST, "jax") == "It calls TensorFlow."
    assert why_not_applicable(FIRST, "tensorflow") == ""
    assert set(ONLY) <= set(PACKAGE_OF)


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
