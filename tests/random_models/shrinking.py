"""A plan made small: any part of it removed, it is a plan."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.random_models.plans import Block, Plan


def shrunk(plan: Plan, is_fault: Callable[[Plan], bool], tries: int) -> Plan:
    """The smallest plan that was found in so many tries and has the same fault."""
    smaller = True
    while smaller and tries > 0:
        smaller = False
        for candidate in _smaller_plans(plan):
            tries -= 1
            if is_fault(candidate):
                plan, smaller = candidate, True
                break
            if tries <= 0:
                break
    return plan


def _smaller_plans(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, those with most less first."""
    for body in _smaller_blocks(plan.body):
        yield replace(plan, body=body)
    simplest = {
        "top": "model",
        "is_built": True,
        "is_given_arrays": False,
        "weights": "copy",
        "lower": True,
        "option": "",
    }
    for name, value in simplest.items():
        if getattr(plan, name) != value:
            yield replace(plan, **{name: value})
    if plan.inputs not in ("flat", "sequence"):
        yield from (replace(plan, inputs=form) for form in ("flat", "sequence"))


def _smaller_blocks(block: Block) -> Iterator[Block]:
    # An inner layer as the whole model.
    yield from block.inner
    half = len(block.steps) // 2
    if half > 1:
        yield replace(block, steps=block.steps[:half])
        yield replace(block, steps=block.steps[half:])
    for index in range(len(block.steps)):
        yield replace(block, steps=block.steps[:index] + block.steps[index + 1 :])
    for index, inner in enumerate(block.inner):
        around = block.inner[:index], block.inner[index + 1 :]
        yield replace(block, inner=around[0] + around[1])
        yield from (replace(block, inner=(*around[0], less, *around[1])) for less in _smaller_blocks(inner))
    for name in ("owns", "style", "returns"):
        if getattr(block, name):
            yield replace(block, **{name: 0})
