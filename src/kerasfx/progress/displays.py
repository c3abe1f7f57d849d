"""Where progress is shown: a bar on a terminal, one in a notebook, or lines."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from html import escape
from typing import IO, Any, Protocol

import keras

PATIENCE = 1.0
"""Seconds of work that nobody needs to be told of."""


@dataclass
class State:
    """How far work has come.

    Attributes:
        title: The name of what is worked on.
        phase: What is done to it now.
        unit: What is counted.
        total: How many there will be, as far as is known.
        done: How many are done.
        seconds: Since when.
    """

    title: str
    phase: str = ""
    unit: str = ""
    total: int = 0
    done: int = 0
    seconds: float = 0.0

    @property
    def most(self) -> int:
        """The total, of which the estimate may have been too low."""
        return max(self.total, self.done, 1)

    @property
    def in_words(self) -> str:
        """Such as `net: trace, 12 of 40 layers, 3.1 s`."""
        return f"{self.title}: {self.phase}, {self.done} of {self.most} {self.unit}, {self.seconds:.1f} s"


class Display(Protocol):
    """A way to show progress.

    Attributes:
        wait: How many seconds to wait before anything is shown.
        every: How many seconds to leave between two pictures.
    """

    wait: float
    every: float

    def draw(self, state: State) -> None:
        """Show `state`, in the place of what was shown before."""
        ...

    def end_phase(self, state: State) -> None:
        """Be told of the end of a phase."""
        ...

    def make_way(self) -> None:
        """Leave the line to something else that is to be written."""
        ...

    def end(self) -> None:
        """Take away what is shown; may be called again."""
        ...


def display_for(progress: bool | None) -> Display | None:
    """Where to show progress if the user says so (True), does not (False), or says nothing (None)."""
    if not (_is_welcome() if progress is None else progress):
        return None
    wait = 0.0 if progress else PATIENCE
    if in_notebook():
        return Notebook(wait)
    if is_terminal(sys.stderr):
        return Terminal(wait, sys.stderr)
    return Lines(sys.stderr) if progress and sys.stderr is not None else None


def _is_welcome() -> bool:
    """Whether somebody may be looking on who has not asked Keras for quiet."""
    is_machine = os.environ.get("CI", "").lower() not in ("", "0", "false")
    is_watched = not (is_machine or "PYTEST_CURRENT_TEST" in os.environ)
    return is_watched and bool(keras.config.is_interactive_logging_enabled())


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream is a terminal on which a line can be written anew."""
    if stream is None or stream.closed or not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    # Before Windows 10 a terminal has other ways for that.
    from rich.console import detect_legacy_windows

    return not detect_legacy_windows()


class Terminal:
    """A bar of rich, in one line.

    Not by `rich.live`, which hides the cursor and may start a thread and replace `sys.stdout`: one line needs
    nothing that has to be put back, whatever ends the process.
    """

    every = 0.25

    def __init__(self, wait: float, stream: IO[str]):
        self.wait = wait
        self._stream = stream
        self._rich: Any = None

    def draw(self, state: State) -> None:
        """Write the bar over what stands in the line."""
        console, bar = self._rich = self._rich or self._made()
        # The window may have another size by now; a line that ends in the last column would begin another.
        console.width = max(self._columns() - 1, 20)
        fields = {"title": state.title, "unit": state.unit, "seconds": f"{state.seconds:.0f} s"}
        task = bar.task_ids[0]
        bar.update(task, description=f"{state.phase:<6}", completed=state.done, total=state.most, **fields)
        with console.capture() as captured:
            console.print(bar.get_renderable())
        self._write(f"\r{captured.get().rstrip(chr(10))}\x1b[K")

    def end_phase(self, state: State) -> None:
        """The bar goes on with the next."""

    def make_way(self) -> None:
        """Empty the line."""
        if self._rich is not None:
            self._write("\r\x1b[K")

    def end(self) -> None:
        """Empty the line."""
        self.make_way()

    def _write(self, text: str) -> None:
        if self._stream.closed:
            raise BrokenPipeError
        self._stream.write(text)
        self._stream.flush()

    def _columns(self) -> int:
        if self._stream.closed:
            raise BrokenPipeError
        # A terminal that does not know its size says 0.
        return os.get_terminal_size(self._stream.fileno()).columns or 80

    def _made(self) -> tuple[Any, Any]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        console = Console(file=self._stream, force_terminal=True)
        narrow = Column(max_width=24, no_wrap=True, overflow="ellipsis")
        bar = Progress(
            TextColumn("{task.fields[title]}", markup=False, table_column=narrow),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[seconds]}"),
            console=console,
            auto_refresh=False,
        )
        bar.add_task("", title="", unit="", seconds="")
        return console, bar


class Notebook:
    """A bar of the browser, which needs no widgets."""

    every = 0.5

    def __init__(self, wait: float):
        self.wait = wait
        self._handle: Any = None
        self._phases: dict[str, None] = {}
        self._last = ""

    def draw(self, state: State) -> None:
        """Put the bar in the place of the one before."""
        self._last = f"{state.title}: {state.seconds:.1f} s"
        label = escape(f"{state.title}: {state.phase}")
        bar = f'<progress value="{state.done}" max="{state.most}" aria-label="{label}"></progress>'
        self._show(f"{bar} {escape(state.in_words)}", state.in_words)

    def end_phase(self, state: State) -> None:
        """Keep what stays in the cell when all is done."""
        self._phases[state.phase] = None
        self._last = f"{state.title}: {', '.join(self._phases)}, {state.seconds:.1f} s"

    def make_way(self) -> None:
        """What else a cell shows stands below."""

    def end(self) -> None:
        """Leave a line, since a cell cannot take back all that it has shown."""
        if self._handle is not None:
            self._show(escape(self._last), self._last)

    def _show(self, html: str, text: str) -> None:
        from IPython.display import display

        data = {"text/html": f"<div>{html}</div>", "text/plain": text}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class Lines:
    """Lines on a stream: now and then, and at the end of each phase."""

    wait = 0.0
    every = 10.0

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def draw(self, state: State) -> None:
        """Write a line, but none that nothing is done yet."""
        if state.done:
            print(state.in_words, file=self._stream, flush=True)

    def end_phase(self, state: State) -> None:
        """Write a line."""
        self.draw(state)

    def make_way(self) -> None:
        """What is written stays."""

    def end(self) -> None:
        """What is written stays."""
