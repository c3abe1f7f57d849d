"""The names of AIMET's modules, where AIMET itself is absent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from kerasfx.aimet.model_preparer import prepare_model
from kerasfx.errors import describe

PACKAGE = "aimet_tensorflow"
PROVIDED = (PACKAGE, f"{PACKAGE}.keras", f"{PACKAGE}.keras.model_preparer")


class Provided(MetaPathFinder, Loader):
    """Finds and makes `aimet_tensorflow.keras.model_preparer`.

    It is asked last, when no other finder knows the package: an installed AIMET is always the one imported,
    and nothing is added to it.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a provided module, or None where it is not ours to say.

        Raises:
            ModuleNotFoundError: Another module of AIMET is asked for.
        """
        package = fullname.partition(".")[0]
        if package != PACKAGE or not (fullname == PACKAGE or self._made(sys.modules.get(PACKAGE))):
            return None
        if fullname not in PROVIDED:
            # The name is that of what is missing, as it would be without us. With `fullname` there, Python
            # would put a message of its own in the place of this one.
            raise ModuleNotFoundError(_not_provided(fullname), name=PACKAGE)
        return ModuleSpec(fullname, self, origin="kerasfx.aimet", is_package=fullname != PROVIDED[-1])

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module that was just made."""
        module.__doc__ = "Provided by kerasfx.aimet, since AIMET itself is not installed."
        if module.__name__ == PROVIDED[-1]:
            vars(module)["prepare_model"] = prepare_model

    def _made(self, module: ModuleType | None) -> bool:
        return module is not None and module.__spec__ is not None and module.__spec__.loader is self


_FINDER = Provided()


def provide() -> None:
    """Have the names found from now on, in this process."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)


def _not_provided(name: str) -> str:
    return describe(
        f"There is no {name} here.",
        why=f"AIMET is not installed, and of its modules kerasfx provides {PROVIDED[-1]} alone",
        hint="quantize what prepare_model returns with aimet_onnx, by way of ONNX: see docs/aimet.md",
    )
