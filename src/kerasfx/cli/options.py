"""The options of `prepare_model` at the command line, one row for each of its parameters.

The choices are written out: the modules that define them import Keras. `tests/test_cli.py` compares this
table with the signature and with the choices.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kerasfx.cli.objects import named_object
from kerasfx.cli.usage import WrongUsage


@dataclass(frozen=True)
class Option:
    """One parameter of `prepare_model`, and how it is typed.

    Attributes:
        parameter: Its name in Python.
        help: What it does, in a line or two.
        flag: How it is typed; by default its name, with dashes.
        choices: What may stand behind the flag.
        value: The value of a flag that stands alone.
        metavar: What stands behind the flag of an option that may be repeated.
        made: Makes the words behind the flag a value.
        traces: Whether `trace` and `explain` have it, too.
    """

    parameter: str
    help: str
    flag: str = ""
    choices: tuple[str, ...] = ()
    value: Any = None
    metavar: str = ""
    made: Callable[[Any], Any] = field(default=lambda words: words)
    traces: bool = False

    @property
    def typed(self) -> str:
        """What is typed, with its dashes."""
        return self.flag or "--" + self.parameter.replace("_", "-")

    def add_to(self, parser: Any) -> None:
        """Let `parser`, or a group of its arguments, take it."""
        given: dict[str, Any] = {"dest": f"option_{self.parameter}", "help": self.help, "default": None}
        if self.choices:
            given |= {"choices": self.choices}
        elif self.metavar:
            given |= {"action": "append", "metavar": self.metavar}
        else:
            given |= {"action": "store_const", "const": self.value}
        parser.add_argument(self.typed, **given)


def _selector(words: str) -> Any:
    """A pattern of paths, or a class, which is named with its module."""
    module, colon, name = words.partition(":")
    if words.startswith("keras.layers."):
        module, colon, name = "keras.layers", ":", words.removeprefix("keras.layers.")
    return named_object(module, name) if colon else words


def _selectors(words: list[str]) -> list[Any]:
    return [_selector(each) for each in words]


def _functions(words: list[str]) -> list[Any]:
    found = []
    for each in words:
        module, colon, name = each.rpartition(":")
        if not colon:
            raise WrongUsage(
                f"--passes {each}: a pass is a function, written as module:function.",
                hint=f"--passes my_passes:{each}",
            )
        found.append(named_object(module, name))
    return found


def _sizes(words: list[str]) -> dict[str, tuple[int, ...]]:
    hints = {}
    for each in words:
        name, equals, sizes = each.partition("=")
        numbers = sizes.split(",")
        if not equals or not all(n.strip().isdigit() for n in numbers):
            raise WrongUsage(
                f"--hints {each}: example sizes are whole numbers of one input.",
                hint="the batch first: --hints tokens=2,128",
            )
        hints[name] = tuple(int(n) for n in numbers)
    return hints


_TRUTH = {"true": True, "false": False}

_SELECTORS = "PATTERN"

OPTIONS = (
    Option(
        "leaves",
        "layers that stay whole: a pattern of paths ('encoder.*.rotary') or a class (my_models:Rotary); "
        "may be repeated",
        metavar=_SELECTORS,
        made=_selectors,
        traces=True,
    ),
    Option(
        "opened",
        "built-in layers that are opened: a pattern of paths or a class (keras.layers.MultiHeadAttention); "
        "may be repeated",
        metavar=_SELECTORS,
        made=_selectors,
        traces=True,
    ),
    Option(
        "weights",
        "take the layers and weights of the original instead of copies, which saves memory",
        flag="--share-weights",
        value="share",
    ),
    Option(
        "training_in_fit",
        "'always' lets `fit` train layers that the `fit` of the original leaves in inference mode",
        choices=("as_original", "always"),
    ),
    Option(
        "mode",
        "prepare one mode alone, for models whose two modes no graph can hold together",
        choices=("both", "inference", "training"),
        traces=True,
    ),
    Option(
        "compile",
        "'like_original' takes loss, metrics and the optimizer with its state over, so that `fit` goes on",
        choices=("like_original",),
    ),
    Option(
        "keep_class",
        "keep the class of the original with its `train_step`; a file has the graph alone",
        value=True,
    ),
    Option("strict", "refuse (exit code 1) instead of keeping a custom layer whole", value=True),
    Option(
        "passes",
        "a pass of yours over the graph; may be repeated",
        metavar="MODULE:FUNCTION",
        made=_functions,
    ),
    Option(
        "lower",
        "built-in layers in the place of functions: where the bits are equal (true, the default), where the "
        "last bit may differ (fast), or nowhere (false)",
        choices=("true", "false", "fast"),
        made=lambda word: _TRUTH.get(word, word),
    ),
    Option("unshare", "one layer for each call of a layer without weights, for quantizers", value=True),
    Option(
        "names",
        "name layers after where they are (path, the default) or as the user named them (original)",
        choices=("path", "original"),
    ),
    Option(
        "replace_separable_conv",
        "a depthwise and a pointwise convolution in the place of a separable one",
        value=True,
    ),
    Option("replace_relu6", "ReLU in the place of ReLU6; other numbers above 6", value=True),
    Option("lower_gelu", "write the exact GELU by `erf`, which ONNX knows", choices=("erf",)),
    Option("portable", "a file that Keras loads alone, without `import kerasfx`", value=True),
    Option(
        "verify",
        "compare the result with the original before it is saved (true, the default), in inference alone, "
        "or not at all (false)",
        choices=("true", "false", "inference"),
        made=lambda word: _TRUTH.get(word, word),
    ),
    Option(
        "hints",
        "example sizes of an input, for Python code that asks about free sizes; may be repeated",
        metavar="NAME=SIZES",
        made=_sizes,
        traces=True,
    ),
)

ELSEWHERE = {
    "original_model": "MODEL",
    "input_layer": "--input",
    "progress": "--quiet",
}
"""The parameters that are not in the table, and what is typed for them."""


def values_of(asked: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `prepare_model`, `trace` or `explain` that were typed, as objects.

    Raises:
        WrongUsage: One of them names nothing, or is no such thing.
    """
    if getattr(asked, "option_portable", None) and getattr(asked, "option_keep_class", None):
        raise WrongUsage(
            "--portable and --keep-class exclude each other.", why="Keras alone has no class of yours"
        )
    typed = {option: getattr(asked, f"option_{option.parameter}", None) for option in OPTIONS}
    return {option.parameter: option.made(x) for option, x in typed.items() if x is not None}
