"""What was asked of `prepare_model`, and whether it can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from kerasfx import passes as graph_passes
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.compiled import require_compiled
from kerasfx.handover.left_out import dropped_methods
from kerasfx.inputs import require_one_of
from kerasfx.passes.options import GELU, NAMES, Options
from kerasfx.progress import CHOICES
from kerasfx.reporting import Finding
from kerasfx.runtime import modes
from kerasfx.tracing import Hints
from kerasfx.tracing.layers.policy import Selector, WholePolicy


@dataclass(frozen=True)
class Wanted:
    """The arguments of `prepare_model` but for the model and its inputs; that says what they mean."""

    leaves: Sequence[Selector]
    opened: Sequence[Selector]
    weights: str
    training_in_fit: str
    mode: modes.Mode
    compile: str | None
    keep_class: bool
    strict: bool
    passes: Sequence[graph_passes.Pass]
    lower: bool | str
    options: Options
    portable: bool
    verify: bool | str
    hints: Hints | None
    progress: bool | None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for that a flat model might not be already."""
        asked = self.leaves or self.opened or self.passes or self.options.are_any
        return not asked and self.mode == modes.BOTH

    @property
    def shares(self) -> bool:
        """Whether the result takes the layers and variables of the original."""
        return self.weights == "share"

    @property
    def policy(self) -> WholePolicy:
        """Which layers stay whole."""
        return WholePolicy.of(self.leaves, self.opened)

    def require_valid(self) -> None:
        """Refuse an option that has no such value.

        Raises:
            ValueError: There is one, or `portable` stands beside `keep_class`.
            PassError: One of the passes is no function.
        """
        options = self.options
        require_one_of(
            weights=(self.weights, ("copy", "share")),
            training_in_fit=(self.training_in_fit, fit.CHOICES),
            mode=(self.mode, modes.MODES),
            compile=(self.compile, (None, "like_original")),
            lower=(self.lower, graph_passes.LOWER),
            unshare=(options.unshare, (True, False)),
            names=(options.names, NAMES),
            replace_separable_conv=(options.replace_separable_conv, (True, False)),
            replace_relu6=(options.replace_relu6, (True, False)),
            lower_gelu=(options.lower_gelu, GELU),
            portable=(self.portable, (False,) if self.keep_class else (True, False)),
            verify=(self.verify, (True, False, modes.INFERENCE)),
            progress=(self.progress, CHOICES),
        )
        graph_passes.require_passes(self.passes)

    def left_out_of(self, original: keras.layers.Layer) -> list[Finding]:
        """The methods of the original that the result will not have."""
        return [] if self.keep_class else list(dropped_methods(original))

    def require_possible_for(self, original: keras.layers.Layer) -> None:
        """Refuse to compile the result like an original that gives no example of it.

        Raises:
            ValueError: It is not compiled, or its own steps would be left out.
        """
        if self.compile:
            require_compiled(original, self.left_out_of(original))
