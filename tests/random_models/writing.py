"""The class of a layer while its code is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from tests.random_models.values import Value

if TYPE_CHECKING:
    from tests.random_models.plans import Block, Step

STYLES = (
    *("plain", "training", "training_false", "masked", "masked_training", "inherited", "decorated", "kwargs"),
    *("float16", "bfloat16", "frozen", "computes_mask", "named", "model", "delegates", "stars"),
    *(
        "training",
        "training",
        "plain",
        "training_true",
        "inherited_training",
        "training",
        "plain",
        "training",
    ),
)
"""How the class of a layer is written, by its number: its signature, its base, its policy."""

MIXED = ("float16", "bfloat16")
"""The styles that are a mixed policy."""

LISTED, KEYED, LAZY, NESTED, BY_NAME = 1, 2, 3, 4, 5
"""Where a layer keeps the layers that it owns; 0 is an attribute for each."""


@dataclass
class Writer:
    """Collects the lines of one class, and knows the tensors that its `call` has so far.

    Attributes:
        block: The plan of the layer.
        arguments: The tensors that `call` gets.
        call_inner: Writes the class of an inner layer for some arguments; what it is called and returns.
        share: Names a layer that all classes share, by the code that makes it.
        tensors: The tensors to choose from, the newest last.
        made: The lines of `__init__`.
        built: The lines of `build`.
        lines: The lines of `call`.
    """

    block: Block
    arguments: Sequence[Value]
    call_inner: Callable[[Block, Sequence[Value]], InnerClass]
    share: Callable[[str], str]
    tensors: list[Value] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    inner_layers: dict[Any, tuple[str, InnerClass]] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)

    @property
    def style(self) -> str:
        """How the class is written."""
        return STYLES[self.block.style]

    @property
    def is_mixed(self) -> bool:
        """Whether it computes in 16 bits."""
        return self.style in MIXED

    @property
    def knows_training(self) -> bool:
        """Whether `call` has a variable `training`."""
        return "training" in self.style or self.style in ("kwargs", "inherited_training")

    @property
    def knows_mask(self) -> bool:
        """Whether `call` has a variable `mask`."""
        return self.style.startswith("masked")

    @property
    def builds(self) -> bool:
        """Whether the class has a `build`, which makes its weights."""
        return len(self.arguments) == 1 and self.block.owns % 2 == 1

    def name(self, stem: str) -> str:
        """A name that the class does not have yet."""
        number = self._names[stem] = self._names.get(stem, -1) + 1
        return f"{stem}_{number}" if number else stem

    def line(self, text: str) -> None:
        """Adds a line, or several, to `call`."""
        self.lines += text.splitlines()

    def value(self, expression: str, like: Value) -> Value:
        """Gives a name to an expression, a tensor like another one."""
        found = Value(self.name("h"), like.shape, like.dtype)
        self.line(f"{found} = {expression}")
        return found

    def layer(self, code: str, stem: str = "") -> str:
        """Makes a layer of its own; returns how `call` names it."""
        stem = stem or code.partition("(")[0].rpartition(".")[2].lower()
        name = self.name(f"{stem}_layer" if iskeyword(stem) else stem)
        owner = {LISTED: "self.parts", KEYED: "self.by_key", NESTED: "self.nested"}.get(self.block.owns)
        if owner:
            start = {LISTED: "[]", KEYED: "{}", NESTED: "{'first': [], 'then': ([],)}"}[self.block.owns]
            if f"{owner} = {start}" not in self.made:
                self.made.insert(0, f"{owner} = {start}")
        match self.block.owns:
            case 1:
                self.made.append(f"self.parts.append({code})")
                return f"self.parts[{self._count('self.parts.append(')}]"
            case 2:
                self.made.append(f"self.by_key[{name!r}] = {code}")
                return f"self.by_key[{name!r}]"
            case 4:
                self.made.append(f"self.nested['first'].append({code})")
                return f"self.nested['first'][{self._count('self.nested')}]"
        self._lines_of(code, self.block.owns == LAZY).append(f"self.{name} = {code}")
        return f"getattr(self, {name!r})" if self.block.owns == BY_NAME else f"self.{name}"

    def _count(self, start: str) -> int:
        return sum(line.startswith(start) and ".append(" in line for line in self.made) - 1

    def weight(
        self, shape: tuple[int, ...], *, options: str = "", initializer: str = "", stem: str = "w"
    ) -> str:
        """Makes a weight; returns how `call` names it."""
        name = self.name(stem)
        initializer = initializer or "keras.initializers.RandomNormal(0.3, 0.5)"
        more = f", {options}" if options else ""
        code = f"self.{name} = self.add_weight(shape={shape}, initializer={initializer}, name={name!r}{more})"
        self._lines_of(code, lazily=True).append(code)
        return f"self.{name}"

    def _lines_of(self, code: str, lazily: bool) -> list[str]:
        """The lines of `build` or of `__init__`."""
        # A regularizer that is made while Keras builds symbolically holds a number of that trace, or none.
        return self.built if lazily and self.builds and "regularizer" not in code else self.made

    def take(self, step: Step, write: Callable[..., Value | None]) -> None:
        """Writes a step with the first tensors that it fits, if there are any."""
        takes_two = write.__code__.co_argcount == 4
        for x in self._from(step.a):
            for others in [(y,) for y in self._from(step.b)] if takes_two else [()]:
                found = write(self, x, *others, step.number)
                if found is not None:
                    self.tensors.append(self._in_own_dtype(found))
                    return

    def _in_own_dtype(self, x: Value) -> Value:
        """Under a mixed policy, layers of another policy give other dtypes, which backends do not mix."""
        is_cast = self.is_mixed and x.is_float
        return self.value(f"ops.cast({x}, self.compute_dtype)", x) if is_cast else x

    def _from(self, back: int) -> list[Value]:
        """The tensors, the newest first, beginning some further back."""
        newest = self.tensors[::-1]
        first = back % len(newest)
        return newest[first:] + newest[:first]


@dataclass(frozen=True)
class InnerClass:
    """A class that was written.

    Attributes:
        name: What it is called.
        outputs: What its `call` returns: by `None` a tensor, by a key those in a tuple or dict.
        takes_list: Whether two tensors are handed over as a list.
        knows_training: Whether its `call` takes `training`.
        takes_mode: Whether its `call` takes a word, too.
    """

    name: str
    outputs: tuple[tuple[Any, Value], ...]
    takes_list: bool
    knows_training: bool
    takes_mode: bool
