"""The property: a model is prepared right, or refused with advice, and nothing else is touched."""

import re
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kerasfx
from kerasfx.comparing import Options, compare_models, pairing_of
from kerasfx.errors import GraphError, KerasFxError, NotEquivalentError, NotPortableError, first_line
from kerasfx.tracing.patches import patched
from tests.predicting import predicting
from tests.random_models.making import Made, made
from tests.random_models.options import is_inner, options_of
from tests.random_models.plans import Plan
from tests.snapshots import differences, layers_of, snapshot_of_model, snapshot_of_process

CONVERTED, KEPT_WHOLE, REFUSED = "converted", "kept whole", "refused"
ORIGINAL_REFUSED, FAULT = "original refused", "fault"
VERDICTS = (CONVERTED, KEPT_WHOLE, REFUSED, ORIGINAL_REFUSED, FAULT)
"""What may come of a model, the last a fault of kerasfx; of the original the generator is to blame."""


@dataclass(frozen=True)
class Verdict:
    """What came of a model.

    Attributes:
        kind: One of `VERDICTS`.
        reason: Why, in few words that are the same for models of one kind.
        detail: All that is known of it.
    """

    kind: str
    reason: str = ""
    detail: str = ""

    @property
    def sign(self) -> tuple[str, str]:
        """What two models have in common that suffer from one fault."""
        return self.kind, self.reason


class _FaultError(Exception):
    """The property does not hold."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.verdict = Verdict(FAULT, _general(reason), detail or reason)


@dataclass(frozen=True)
class Asked:
    """What is asked beside what is asked of every model.

    Attributes:
        verify: Whether `prepare_model` itself compares, too.
        saved: Whether the result is saved and loaded.
        trained: Whether both are trained for a step of `fit`.
        sizes: Whether another batch size is compared.
        gradients: Whether a step of gradient descent is compared.
        as_keras_calls: Whether calls as those of `fit` and `predict`, and bare ones, are compared.
    """

    verify: bool = False
    saved: bool = False
    trained: bool = False
    sizes: bool = False
    gradients: bool = False
    as_keras_calls: bool = False


EVERYTHING = Asked(True, True, True, True, True, True)


def asked_of(number: int) -> Asked:
    """What costs most is asked of some models, by their number; outputs, training and masks of all."""
    return Asked(
        verify=number % 8 == 1,
        saved=number % 8 == 3,
        trained=number % 16 == 5,
        sizes=number % 8 == 7,
        gradients=number % 2 == 0,
        as_keras_calls=number % 3 == 0,
    )


def judge(plan: Plan, asked: Asked = EVERYTHING) -> Verdict:
    """Make the model of a plan, prepare it, and ask all that is asked."""
    keras.utils.clear_session(free_memory=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verdict = _judged(plan, asked)
        except _FaultError as fault:
            verdict = fault.verdict
        except Exception as error:  # whatever is left in the original, a campaign goes on
            verdict = Verdict(FAULT, _general("the judge raises: " + first_line(error)), _told(error))
        # What the oracle found to be right does run. Of all else it is asked first.
        return verdict if verdict.kind == CONVERTED else _refused_by_itself(plan) or verdict


def _refused_by_itself(plan: Plan) -> Verdict | None:
    """The verdict on a plan that is no model: the generator is to blame, or the backend."""
    try:
        original = made(plan)
        with predicting():
            original.called(training=False)
            original.called(training=True)
            original.called()
        # On JAX what a layer makes inside of a `cond` stays there.
        snapshot_of_model(original.model)
    # The code of a user, or what the backend has to say to it.
    except Exception as error:
        return Verdict(ORIGINAL_REFUSED, _general(first_line(error)), _told(error))
    return None


def _original(plan: Plan) -> Made:
    """The model, built or not, as the plan says."""
    try:
        original = made(plan)
        if plan.is_built:
            with predicting():
                original.called(training=False)
    except Exception as error:
        raise _FaultError("the original raises", _told(error)) from error
    return original


def _judged(plan: Plan, asked: Asked) -> Verdict:
    original = _original(plan)
    model = original.model
    chosen = options_of(plan.option, layers_of(model))
    options = {"lower": plan.lower, "weights": plan.weights, "verify": asked.verify, **chosen}
    is_for_both = "mode" not in options
    with _untouched(model, plan), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            prepared = kerasfx.prepare_model(model, original.input_layer, **options)
        except NotEquivalentError as error:
            raise _FaultError(
                "prepare_model says that its result differs: " + _failed(error.comparison), str(error)
            ) from error
        except KerasFxError as error:
            return _refusal(error)
        except ValueError as error:
            # As documented: of options that do not go together.
            if 'weights="share" is not possible' not in str(error):
                raise _FaultError("foreign exception: " + first_line(error), _told(error)) from error
            return Verdict(REFUSED, _general(first_line(error)), str(error))
        except Exception as error:
            raise _FaultError("foreign exception: " + first_line(error), _told(error)) from error
    _require_no_warning(told)
    report = kerasfx.report(prepared)
    if _says(prepared, "kerasfx itself failed"):
        raise _FaultError("kerasfx itself failed", str(report))
    _require_equal(original, prepared, asked)
    # A file with a layer of the user's, whoever wanted it whole, takes the class to be loaded.
    is_ours = not report.opaque and not any(map(is_inner, layers_of(prepared)))
    if asked.saved and is_ours and is_for_both:
        _require_saved(prepared, original)
    if asked.trained and isinstance(model, keras.Model) and is_for_both:
        _require_trained(original, prepared)
    if report.opaque:
        return Verdict(KEPT_WHOLE, _general(_what(report.opaque[0].what)), str(report.opaque[0]))
    return Verdict(CONVERTED)


@contextmanager
def _untouched(model: keras.Layer, plan: Plan) -> Iterator[None]:
    """A built model is as it was, and so is the process, whatever happens inside."""
    # What runs in training alone may be built by the first call of that mode only.
    is_whole = all(layer.built for layer in layers_of(model))
    before, process = snapshot_of_model(model) if is_whole else {}, snapshot_of_process()
    yield
    changes = differences(process, snapshot_of_process())
    # Running the model names what Keras makes in each call, and NumPy may draw in a layer that stays whole.
    changes = [line for line in changes if not line.startswith(("names", "numpy random"))]
    if is_whole:
        changes += differences(before, snapshot_of_model(model))
        # Sharing a layer gives it nodes and inputs, as calling it does.
        if plan.weights == "share":
            changes = [x for x in changes if not any(word in x for word in SHARED)]
    else:
        # The initializers of what is built draw their seeds.
        changes = [line for line in changes if not line.startswith("python random")]
    if changes:
        raise _FaultError(
            "the original or the process changed: " + changes[0].partition(" became ")[0], "\n".join(changes)
        )
    if patched():
        raise _FaultError("patches are left", ", ".join(patched()))


SHARED = ("nodes", "_inbound", "_outbound", "called", "_self_")


def _refusal(error: KerasFxError) -> Verdict:
    text = str(error)
    if isinstance(error, GraphError):
        raise _FaultError("a broken graph: " + first_line(error), _told(error)) from error
    # That one lists what prevents it.
    if "do:" not in text and not isinstance(error, NotPortableError):
        raise _FaultError(f"an error without advice: {first_line(error)}", _told(error)) from error
    return Verdict(REFUSED, _general(first_line(error)), text)


def _require_no_warning(told: list[warnings.WarningMessage]) -> None:
    for warning in told:
        if issubclass(warning.category, kerasfx.UnverifiedWarning) or "kerasfx" in str(warning.message):
            raise _FaultError(
                f"a warning: {warning.category.__name__}: {str(warning.message).splitlines()[0]}",
                str(warning.message),
            )


def _require_equal(original: Made, prepared: keras.Model, asked: Asked) -> None:
    """The oracle finds no difference."""
    if prepared is original.model:
        return
    options = Options(
        batch_sizes=(3, 2) if asked.sizes else (3,),
        samples=1,
        # What `fit` of the original forgets on JAX the report says; the result forgets nothing.
        fit=asked.as_keras_calls and not _says(prepared, "`fit` of the original forgets"),
        bare=asked.as_keras_calls,
        gradients=asked.gradients,
    )
    try:
        comparison = compare_models(original.model, prepared, pairing_of(original.model, prepared), options)
    except Exception as error:
        raise _FaultError("compare raises: " + first_line(error), _told(error)) from error
    if not comparison:
        raise _FaultError("the result differs: " + _failed(comparison), str(comparison))


def _says(prepared: keras.Model, text: str) -> bool:
    return any(text in finding.what for finding in kerasfx.report(prepared).findings)


def _failed(comparison: Any) -> str:
    return ", ".join(check.name for check in comparison.checks if not check.passed)


def _require_saved(prepared: keras.Model, original: Made) -> None:
    """The loaded model computes the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            prepared.save(path)
            loaded = keras.models.load_model(path)
        except Exception as error:
            raise _FaultError("saving or loading: " + first_line(error), _told(error)) from error
    # Keras's file holds no state of a generator: who draws for inference, too, begins anew.
    if _draws(prepared, original):
        return
    ours, theirs = (_outputs(each, original) for each in (prepared, loaded))
    for x, y in zip(ours, theirs, strict=True):
        if x.dtype != y.dtype or not np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
            raise _FaultError("the loaded model differs", f"{x}\n{y}")


def _draws(model: keras.Model, original: Made) -> bool:
    seeds = [v for v in model.variables if v.name.startswith("seed_generator_state")]
    others = {id(v): keras.ops.add(v.value, 1) for v in seeds}
    pairs = zip(_outputs(model, original), _outputs(model, original, others), strict=True)
    return bool(seeds) and not all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)


def _outputs(model: keras.Model, original: Made, values: dict[int, Any] | None = None) -> list[np.ndarray]:
    inputs = _inputs_of_prepared(original)
    held = values or {}
    with predicting(), keras.StatelessScope([(v, held.get(id(v), v.value)) for v in model.variables]):
        outputs = model(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs), training=False)
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs) if x is not None]


def _inputs_of_prepared(original: Made) -> Any:
    return {"x": original.inputs, **original.keywords} if original.keywords else original.inputs


def _require_trained(original: Made, prepared: keras.Model) -> None:
    """A step of `fit` leaves equal weights, or both raise."""
    if original.keywords or original.plan.weights == "share":
        return
    # What `fit` of the result then shows, or raises on JAX, the report says.
    if _says(prepared, "does not show the metric"):
        return
    variables = [(v, v.value) for v in original.model.variables]
    # Without a trace: what is called twice has counted twice.
    with predicting(), keras.StatelessScope(variables):
        outputs = original.called(training=False)
    # Keras has no loss for what is None.
    if any(x is None for x in keras.tree.flatten(outputs)):
        return
    targets = keras.tree.map_structure(lambda x: np.zeros(x.shape, "float32"), outputs)
    models = original.model, prepared
    results = [_attempt(lambda m=m: _fitted(m, original.inputs, targets)) for m in models]
    raised = [isinstance(result, Exception) for result in results]
    # Keras's own attempt to build all for `fit` refuses some originals on PyTorch, and no flat model.
    if raised[1] and not raised[0]:
        raise _FaultError(f"in fit only the result raises: {first_line(results[1])}", _told(results[1]))
    if not any(raised) and not np.isclose(results[0], results[1], rtol=1e-4, atol=1e-5, equal_nan=True):
        raise _FaultError("the losses of fit differ", str(results))


def _fitted(model: keras.Model, inputs: Any, targets: Any) -> float:
    """The loss of the second epoch, which sees what the first one changed."""
    keras.utils.set_random_seed(3)
    losses = keras.tree.map_structure(lambda _: "mse", targets)
    model.compile(keras.optimizers.SGD(0.01), losses, run_eagerly=True)
    history = model.fit(inputs, targets, epochs=2, batch_size=2, shuffle=False, verbose=0)
    return history.history["loss"][-1]


def _attempt(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        return error


def _what(text: str) -> str:
    return text.partition("is kept whole: ")[2] or text


def _general(text: str) -> str:
    """A text without what differs from model to model: numbers, names."""
    text = re.sub(r"\b(h|net|inner|side|w|step|mean|held|function|layer)(_\w+)?\b", "_", text.splitlines()[0])
    return re.sub(r"0x[0-9a-f]+|[\d.]+", "#", text)[:150]


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
