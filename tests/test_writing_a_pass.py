"""The page on writing a pass, on each backend: its blocks run, and each error is the one that it shows."""

import keras
import pytest
from pages import DOCS, faults

pytestmark = pytest.mark.any_keras


def test_every_block_does_as_the_page_says():
    keras.utils.set_random_seed(0)
    found = [
        f"line {block.line}: {kind}\n{given}" for block, kind, given in faults(DOCS / "writing_a_pass.md")
    ]
    assert not found, "\n".join(found)
