"""What can be typed: the five commands with their options, help and examples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from kerasfx.cli.options import OPTIONS
from kerasfx.cli.usage import WRONG

ABOUT = """\
Turns any Keras model into an equivalent, flat Functional model of named standard layers.

  kerasfx explain  MODEL                    does it go through? Nothing is made
  kerasfx prepare  MODEL -o OUT.keras       make the flat model, compare it with the original, save it
  kerasfx compare  A B                      do two models compute the same?
  kerasfx report   MODEL -o report.html     a page: layers before and after, reasons, differences
  kerasfx show     MODEL                    the graph as text
"""

MORE = """\
a MODEL is one of
  net.keras                 a saved model; custom classes by --import my_models, or --import my_models.py
  my_models:build           a function without arguments, a class or a model of a module here
  path/to/my_models.py:Net  the same by the file
  ... --weights FILE        with weights of a .weights.h5 file, a .keras file or a SavedModel

exit codes
  0 yes   1 the answer is no (models differ, something stays whole under --strict, it cannot be prepared)
  2 wrong usage or input   3 the code of the model raised   70 a bug of kerasfx

`kerasfx COMMAND --help` has the options of a command, with examples.
"""

EXAMPLES = {
    "explain": """\
examples
  kerasfx explain net.keras
  kerasfx explain net.keras --import my_models
  kerasfx explain my_models:Net --input None,28,28,3
  kerasfx explain my_models:Net --input tokens=None,128:int32 --input mask=None,128:bool
  kerasfx explain my_models:Net --inputs batch.npz --strict && echo "all of it can be opened"
""",
    "prepare": """\
examples
  kerasfx prepare net.keras -o flat.keras
  kerasfx prepare my_models:Net --input None,28,28,3 --weights net.weights.h5 -o flat.keras
  kerasfx prepare net.keras -o flat.keras --portable --opened keras.layers.MultiHeadAttention
  kerasfx prepare net.keras -o flat.keras --leaves 'encoder.*.rotary' --strict
""",
    "compare": """\
examples
  kerasfx compare net.keras flat.keras --import my_models
  kerasfx compare net.keras flat.keras --inputs batch.npz
  kerasfx compare my_models:Net flat.keras --weights net.weights.h5
  kerasfx compare net.keras flat.keras --quiet || echo "they differ"
""",
    "report": """\
examples
  kerasfx report net.keras -o report.html
  kerasfx report my_models:Net --input None,28,28,3 -o report.html
  kerasfx report net.keras -o report.html --no-compare
""",
    "show": """\
examples
  kerasfx show net.keras
  kerasfx show my_models:Net --input None,28,28,3 --layer encoder.blocks
  kerasfx show net.keras --json | jq '.nodes[].target'
  kerasfx show net.keras --source > net.py
  kerasfx show net.keras --plot net.svg --depth 2
  kerasfx show net.keras --model-explorer net.json && model-explorer net.json
""",
}

ABOUT_COMMANDS = {
    "explain": "List what would be opened, kept whole and warned of. Nothing is made.",
    "prepare": "Make the flat model, compare it with the original, and save it.",
    "compare": "Compare two models: outputs, training, masks, losses, gradients. Exit code 1 if they differ.",
    "report": "Prepare the model and write a page about it: layers before and after, reasons, differences.",
    "show": "Print the graph that the model is traced into, one line for each call, or code of the result.",
}


class Parser(argparse.ArgumentParser):
    """A parser that shows texts as they are written, and takes options by their whole names alone."""

    def __init__(self, **options: object):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **options,  # pyright: ignore
        )

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the usage: it is longer than a screen, and has no examples."""
        self.exit(WRONG, f"{message[:1].upper()}{message[1:]}.\n  do:    {self.prog} --help\n")


def parser() -> Parser:
    """The parser of the whole command."""
    made = Parser(prog="kerasfx", description=ABOUT, epilog=MORE, usage="kerasfx COMMAND MODEL [options]")
    made.add_argument("--version", action="store_true", help="the versions of kerasfx, Keras and the backend")
    made.set_defaults(command=None)
    # Without `prog` the usage of a command would begin with that of them all.
    commands = made.add_subparsers(prog="kerasfx", metavar="COMMAND", parser_class=Parser)
    for name, add in _COMMANDS.items():
        about = ABOUT_COMMANDS[name]
        one = commands.add_parser(name, help=about, description=about, epilog=EXAMPLES[name])
        one.set_defaults(command=name)
        add(one)
    return made


def _explain(parser: Parser) -> None:
    _add_model(parser)
    _add_options(parser, traces_alone=True)
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a custom layer stays whole")
    _add_about_output(parser, json="the report")


def _prepare(parser: Parser) -> None:
    _add_model(parser)
    _add_out(parser, "OUT.keras", "the file to write")
    _add_options(parser)
    _add_about_output(parser, json="the report")


def _compare(parser: Parser) -> None:
    parser.add_argument("model", metavar="A", help="the original")
    parser.add_argument("other", metavar="B", help="the model prepared from it, or another one")
    _add_about_model(parser)
    group = parser.add_argument_group("the comparison")
    group.add_argument("--seed", type=_seed, default=0, help="decides random inputs and perturbations")
    group.add_argument("--tolerance", type=float, help="largest relative difference that passes")
    group.add_argument(
        "--mode", choices=("inference", "training"), help="compare one mode alone (default: both)"
    )
    group.add_argument("--no-gradients", action="store_true", help="leave out the step of an optimizer")
    group.add_argument("--by-layer", action="store_true", help="the difference of each layer as well")
    _add_about_output(parser, json="the comparison")


def _seed(typed: str) -> int:
    if not typed.isdecimal():
        raise argparse.ArgumentTypeError(f"{typed} is no whole number from 0 on")
    return int(typed)


def _report(parser: Parser) -> None:
    _add_model(parser)
    _add_out(parser, "REPORT.html", "the page to write")
    parser.add_argument("--no-compare", action="store_true", help="leave out the differences of the layers")
    _add_options(parser)
    _add_about_output(parser)


def _show(parser: Parser) -> None:
    _add_model(parser)
    parser.add_argument(
        "--layer", metavar="PATH", help="only what is in this layer, such as encoder.blocks[0]"
    )
    parser.add_argument("--source", action="store_true", help="the Python code of the prepared model instead")
    parser.add_argument(
        "--plot", metavar="FILE", help="a picture of the graph instead: .png, .svg, .pdf, .dot"
    )
    parser.add_argument("--depth", type=int, metavar="N", help="layers inside of each other in the picture")
    parser.add_argument("--model-explorer", metavar="FILE.json", help="the graph for Model Explorer instead")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    _add_options(parser, traces_alone=True)
    _add_about_output(parser, json="the graph")


_COMMANDS = {"explain": _explain, "prepare": _prepare, "compare": _compare, "report": _report, "show": _show}


def _add_model(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a file net.keras, or module:name")
    _add_about_model(parser)


def _add_about_model(parser: Parser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module, or its file, with the custom classes that a saved model names; may be repeated",
    )
    group.add_argument(
        "--input",
        "--inputs",
        dest="inputs",
        metavar="SPEC",
        action="append",
        default=[],
        help="what it is called with: sizes, batch first, with a dtype (2,128:int32; None,28,28,3), named "
        "(x=None,64), or a file with example arrays (batch.npz, x.npy, image=x.npy); may be repeated",
    )
    group.add_argument(
        "--weights",
        metavar="FILE",
        help="weights for a model that is made anew: .weights.h5, .keras, SavedModel",
    )
    group.add_argument(
        "--arg",
        dest="factory_arguments",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an argument of a function or class that is named as the model; may be repeated",
    )
    group.add_argument(
        "--unsafe", action="store_true", help="load files that hold Python code (Lambda); it may do anything"
    )
    group.add_argument(
        "--backend",
        choices=("tensorflow", "jax", "torch"),
        help="the backend; default as Keras: KERAS_BACKEND",
    )


def _add_out(parser: Parser, metavar: str, what: str) -> None:
    parser.add_argument("-o", "--output", dest="out", metavar=metavar, required=True, help=what)
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _add_options(parser: Parser, traces_alone: bool = False) -> None:
    group = parser.add_argument_group("options of prepare_model")
    for option in OPTIONS:
        if option.traces or not traces_alone:
            option.add_to(group)


def _add_about_output(parser: Parser, json: str = "") -> None:
    group = parser.add_argument_group("what is printed")
    if json:
        group.add_argument("--json", action="store_true", help=f"print {json} as JSON, and nothing else")
    group.add_argument(
        "-q", "--quiet", action="store_true", help="no progress, and no text where all is well"
    )
    group.add_argument("-v", "--verbose", action="store_true", help="a line for each step, on stderr")
    group.add_argument("--debug", action="store_true", help="show tracebacks")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read what was typed.

    Raises:
        SystemExit: It asked for help, or cannot be understood; argparse has said so.
    """
    typed = parser()
    asked = typed.parse_args(arguments)
    if asked.command is None and not asked.version:
        typed.print_help()
        raise SystemExit(2)
    return asked
