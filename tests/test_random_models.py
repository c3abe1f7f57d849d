"""Random models as users write them: each is prepared right, or refused with advice; nothing else is touched.

`make random MODELS=30000` judges as many as a night holds (`tests/random_models/`), and so does
`HYPOTHESIS_PROFILE=long` here.
"""

import hypothesis
import pytest

from tests.random_models.judging import FAULT, ORIGINAL_REFUSED, Verdict, asked_of, judge
from tests.random_models.plans import FIELDS, KINDS_BY_FIELD, Block, Plan, Step, from_json, numbered, plans
from tests.random_models.shrinking import shrunk
from tests.random_models.sources import source_of

pytestmark = pytest.mark.any_keras

PROFILE = hypothesis.settings.default.max_examples
EXAMPLES = 12 if PROFILE <= 25 else PROFILE
"""Models take longer than other examples: fewer of them in the quick profile."""


def told(plan, verdict):
    """What there is to know of a fault."""
    return f"{verdict.reason}\n{verdict.detail}\n--plan '{plan.to_json()}'"


@hypothesis.settings(max_examples=EXAMPLES)
@hypothesis.given(plans(), hypothesis.strategies.integers(0, 15))
def test_a_random_model_is_prepared_right_or_refused_with_advice(plan, asked):
    verdict = judge(plan, asked_of(asked))
    hypothesis.event(verdict.kind)
    assert verdict.kind != FAULT, told(plan, verdict)


@pytest.mark.once
def test_a_plan_is_one_line_that_says_it_again():
    for number in range(50):
        plan = numbered(1, number)
        assert from_json(plan.to_json()) == plan
        assert "\n" not in plan.to_json()
        assert source_of(plan, "jax") == source_of(from_json(plan.to_json()), "jax")


@pytest.mark.once
def test_a_fault_is_made_small():
    """Down to the step that it takes, wherever that was."""
    step = Step("shapes.heads", 1, 0, 4)
    noise = tuple(Step("arithmetic.activation", number=n) for n in range(5))
    inner = Block((*noise, step), (Block(noise),), 1, 5, 2)
    plan = Plan(Block(noise, (Block(noise), inner), 3, 7, 4), "dict", "layer", False, True, "fast", "share")
    small = shrunk(plan, lambda p: "shapes.heads" in p.to_json(), tries=500)
    assert small == Plan(Block((step,)))


@pytest.mark.once
def test_every_step_is_written_by_some_model():
    """No step is one that never fits."""
    source = {number: numbered(2, number) for number in range(1500)}
    drawn = {step.kind for plan in source.values() for step in _steps(plan.body)}
    assert drawn == {f"{field}.{name}" for field in FIELDS for name in KINDS_BY_FIELD[field]}


def _steps(block):
    return [*block.steps, *(step for inner in block.inner for step in _steps(inner))]


def test_a_wrong_result_is_a_fault(monkeypatch):
    """The judge is asked as well: about a `prepare_model` that forgets a number."""
    import kerasfx

    plan = Plan(Block((Step("arithmetic.with_number", number=0),)))
    assert judge(plan, asked_of(0)) == Verdict("converted")
    wrong = Plan(Block((Step("arithmetic.with_number", number=3),)))
    right = kerasfx.prepare_model

    def forgets(model, *args, **kwargs):
        from tests.random_models.making import made

        return right(made(wrong).model, *args, **kwargs)

    monkeypatch.setattr(kerasfx, "prepare_model", forgets)
    verdict = judge(plan, asked_of(0))
    assert verdict.kind == FAULT


def test_a_plan_that_no_backend_runs_is_told_apart(monkeypatch):
    monkeypatch.setattr("tests.random_models.judging.made", lambda plan: 1 / 0)
    assert judge(Plan(Block()), asked_of(0)).kind == ORIGINAL_REFUSED
