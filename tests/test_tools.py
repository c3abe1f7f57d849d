"""What `make tools` asks of Keras itself, on one of its models: the rest is in environments of its own."""

import re

import pytest

from benchmarks.tools.cell import outcome
from benchmarks.tools.rows import ROWS
from benchmarks.tools.table import as_markdown

pytestmark = pytest.mark.once


@pytest.mark.filterwarnings("ignore")  # of Keras, about layers that it does not quantize
@pytest.mark.parametrize(
    ("title", "original", "prepared"),
    [
        ("quantize int8", r"1 layers, 2 %, error .*, file does not load.*", r"1 layers, 2 %, .*, file loads"),
        ("clone_model", r"refused: ValueError.*", r"copy exact, 7 ReLUs replaced by LeakyReLU"),
        ("features by name", r"refused: AttributeError.*", r"(\d+) of \1 layers"),
        ("cut from an inner tensor", r"refused: AttributeError.*", r"(\d+) of \1 tensors"),
        ("Grad-CAM", r"refused: .*", r"of stages_2_conv2, 8x8"),
    ],
)
def test_a_row(title, original, prepared):
    assert re.fullmatch(original, outcome(ROWS[title], "residual_cnn", "original"))
    assert re.fullmatch(prepared, outcome(ROWS[title], "residual_cnn", "prepared"))


def test_the_table_has_a_section_for_each_model():
    cells = {"netron/vit": {"original": "0 nodes", "prepared": "a|b"}}
    text = as_markdown(cells, {"tools-keras": "keras 3.15.1"})
    assert "## vit\n\n| | original | prepared |\n|---|---|---|\n| netron | 0 nodes | a/b |\n" in text
    assert text.endswith("## Versions\n\n- `requirements/tools-keras.txt`: keras 3.15.1\n")
