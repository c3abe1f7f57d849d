"""Progress: on a terminal and in a notebook for work that takes time, nowhere else; the work is the same."""

import ast
import contextlib
import fcntl
import logging
import os
import pty
import re
import signal
import struct
import sys
import termios
import threading
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx import progress
from kerasfx.ir import SourceLine
from kerasfx.progress import displays, meter

pytestmark = [pytest.mark.any_keras, pytest.mark.any_backend]

ROOT = Path(__file__).parent.parent


class Block(keras.Layer):
    def __init__(self):
        super().__init__()
        self.proj = layers.Dense(4)

    def build(self, shape):
        self.proj.build(shape)

    def call(self, x):
        return ops.sin(self.proj(x))


class Net(keras.Model):
    """Three blocks, of which the last is called twice."""

    def __init__(self):
        super().__init__(name="net")
        self.blocks = [Block() for _ in range(3)]
        self.drop = layers.Dropout(0.5)

    def call(self, x):
        for block in (*self.blocks, self.blocks[-1]):
            x = block(x)
        return self.drop(x)


@pytest.fixture(scope="module")
def net():
    model = Net()
    model(np.zeros((2, 4), "float32"))
    return model


# Lines, which tell what is counted


def lines(capsys):
    found = capsys.readouterr()
    assert found.out == ""
    return [re.sub(r"\d+\.\d s", "_ s", line) for line in found.err.splitlines()]


def test_true_writes_a_line_for_each_phase_where_there_is_no_terminal(net, capsys):
    kerasfx.prepare_model(net, keras.Input((4,)), progress=True)
    found = lines(capsys)
    # The model, three blocks with a layer each, the dropout: a layer that is called twice counts once.
    assert found[0] == "net: trace, 8 of 8 layers, _ s"
    assert found[1].startswith("net: passes, ")
    assert found[2] == "net: emit, 9 of 9 nodes, _ s"
    assert found[3].startswith("net: verify, 4 of 4 runs, ")
    assert len(found) == 4


def test_compare_counts_runs_and_guesses_how_many(net, capsys):
    prepared = kerasfx.prepare_model(net, keras.Input((4,)))
    assert lines(capsys) == []
    kerasfx.compare(net, prepared, progress=True, by_layer=True)
    (line,) = lines(capsys)
    done, total = map(int, re.findall(r"(\d+) of (\d+) runs", line)[0])
    assert line.startswith("net: verify, ")
    assert total - 4 <= done <= total


def test_explain_traces(net, capsys):
    kerasfx.explain(net, keras.Input((4,)), progress=True)
    assert lines(capsys) == ["net: trace, 8 of 8 layers, _ s"]


@pytest.mark.parametrize("asked", [None, False])
def test_otherwise_nothing_is_written(net, asked, capfd):
    prepared = kerasfx.prepare_model(net, keras.Input((4,)), progress=asked)
    kerasfx.compare(net, prepared, samples=1, batch_sizes=(2,), progress=asked)
    assert capfd.readouterr() == ("", "")


def test_the_outermost_decides(net, capsys):
    def compares(graph):
        kerasfx.explain(net, keras.Input((4,)), progress=True)
        return False

    kerasfx.prepare_model(net, keras.Input((4,)), passes=[compares], verify=False, progress=False)
    assert lines(capsys) == []


@pytest.mark.parametrize("call", [kerasfx.prepare_model, kerasfx.explain, kerasfx.compare])
def test_another_value_is_refused(net, call):
    second = net if call is kerasfx.compare else keras.Input((4,))
    with pytest.raises(ValueError, match="progress must be None or True or False, not 'yes'"):
        call(net, second, progress="yes")


# Who shows what


class Screen:
    """A real terminal in the place of the standard error, and nothing that says that this is a test."""

    def __init__(self, monkeypatch):
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w")
        monkeypatch.setattr(sys, "stderr", self.stream)
        monkeypatch.setenv("TERM", "xterm")
        for name in ("CI", "PYTEST_CURRENT_TEST"):
            monkeypatch.delenv(name, raising=False)

    def read(self):
        """What was written to it; nothing can be afterwards."""
        self.stream.write("<end>")
        self.stream.flush()
        found = b""
        while not found.endswith(b"<end>"):
            found += os.read(self._ours, 1 << 16)
        return found.decode().removesuffix("<end>")

    def close(self):
        """Be gone."""
        with contextlib.suppress(OSError):
            os.close(self._ours)
        # What was not written yet cannot be written any more.
        with contextlib.suppress(OSError):
            self.stream.close()


@pytest.fixture
def terminal(monkeypatch):
    """To be called in the test itself: when it begins, pytest puts its own streams in place."""
    with contextlib.ExitStack() as screens:
        yield lambda: screens.enter_context(contextlib.closing(Screen(monkeypatch)))


def test_a_bar_is_for_terminals_that_somebody_looks_at(terminal, monkeypatch):
    terminal()
    assert isinstance(displays.display_for(None), displays.Terminal)
    assert displays.display_for(None).wait == 1.0
    assert displays.display_for(True).wait == 0.0
    assert displays.display_for(False) is None
    monkeypatch.setenv("TERM", "dumb")
    assert displays.display_for(None) is None
    assert isinstance(displays.display_for(True), displays.Lines)


@pytest.mark.parametrize("name", ["CI", "PYTEST_CURRENT_TEST"])
def test_a_machine_looks_at_nothing(terminal, monkeypatch, name):
    terminal()
    monkeypatch.setenv(name, "true")
    assert displays.display_for(None) is None
    assert displays.display_for(True) is not None


def test_whoever_asks_keras_for_quiet_gets_it(terminal):
    terminal()
    keras.config.disable_interactive_logging()
    try:
        assert displays.display_for(None) is None
    finally:
        keras.config.enable_interactive_logging()


def test_without_a_standard_error_nothing_fails(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert displays.display_for(True) is None


def test_a_terminal_that_is_gone_does_not_stop_the_work(terminal):
    screen = terminal()
    for gone in (lambda: os.close(screen._ours), screen.stream.close):
        with progress.shown(True, "net"):
            progress.begins("trace", "layers", 2)
            gone()
            progress.begins("passes", "passes", 1)
        assert meter._drawing == {}


# Nothing is left behind


class Recorded:
    """A display that notes what it is told."""

    def __init__(self):
        self.wait, self.every, self.told = 0.0, 0.0, []

    def draw(self, state):
        self.told.append((state.phase, state.done, state.most))

    def end_phase(self, state):
        self.told.append(f"end of {state.phase}")

    def make_way(self):
        self.told.append("way")

    def end(self):
        self.told.append("end")


@pytest.fixture
def recorded(monkeypatch):
    display = Recorded()
    monkeypatch.setattr(meter, "TIMES", 0)
    monkeypatch.setattr(progress, "display_for", lambda asked: display)
    return display


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_ends_it(recorded, error):
    with contextlib.suppress(error), progress.shown(True, "net"):
        progress.begins("trace", "layers", 2)
        progress.step("a")
        progress.step("a")
        raise error
    assert recorded.told == [("trace", 0, 2), ("trace", 1, 2), "end of trace", "end"]
    assert meter._drawing == {}
    progress.step()
    progress.begins("passes", "passes", 1)
    assert len(recorded.told) == 4


def test_more_steps_than_expected_are_no_fault(recorded):
    with progress.shown(True, "net"):
        progress.begins("verify", "runs", 1)
        progress.step()
        progress.step()
    assert recorded.told[-3:] == [("verify", 2, 2), "end of verify", "end"]


def test_a_slow_display_takes_a_hundredth_of_the_time(recorded, monkeypatch):
    monkeypatch.setattr(meter, "TIMES", 100)

    def slow(state):
        recorded.told.append(state.done)
        time.sleep(0.02)

    recorded.draw = slow
    with progress.shown(True, "net"):
        progress.begins("trace", "layers", 300)
        for _ in range(300):
            time.sleep(0.001)
            progress.step()
    assert recorded.told == [0, "end of trace", "end"]


def test_other_threads_draw_nothing(recorded):
    def steps():
        progress.step()
        # A second bar would write over the first.
        with progress.shown(True, "other"):
            progress.begins("trace", "layers", 9)
            progress.step()

    with progress.shown(True, "net"):
        progress.begins("trace", "layers", 2)
        thread = threading.Thread(target=steps)
        thread.start()
        thread.join()
    assert recorded.told == [("trace", 0, 2), "end of trace", "end"]


def test_what_fails_leaves_no_bar(recorded):
    class Fails(keras.Model):
        def call(self, x):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        kerasfx.prepare_model(Fails(name="fails"), keras.Input((4,)))
    assert recorded.told[-1] == "end"
    assert meter._drawing == {}


def test_a_warning_has_a_line_of_its_own(recorded):
    class Picky(keras.Model):
        def call(self, x):
            return ops.cond(ops.sum(x) > 1e9, lambda: x, lambda: ops.log(x * 0 - 1))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Who writes a warning to the terminal finds no bar there.
        warnings.showwarning = lambda message, category, *place: recorded.told.append(category)
        kerasfx.prepare_model(Picky(name="picky"), keras.Input((4,)))
    assert recorded.told[-2:] == ["end", kerasfx.UnverifiedWarning]


def test_the_result_is_the_same(net, recorded):
    x = keras.Input((4,), name="x")
    shown, quiet = (kerasfx.prepare_model(net, x, progress=p) for p in (True, False))
    assert len(recorded.told) > 20
    assert shown.get_config() == quiet.get_config()
    assert str(kerasfx.trace(net, x)) == str(kerasfx.trace(net, x))
    data = np.ones((2, 4), "float32")
    assert np.array_equal(shown.predict(data, verbose=0), quiet.predict(data, verbose=0))


# On a real terminal


def work(asked, seconds, steps=20):
    with progress.shown(asked, "n[b]e<t>"):
        progress.begins("trace", "layers", steps)
        for _ in range(steps):
            time.sleep(seconds / steps)
            progress.step()


def test_work_of_less_than_a_second_shows_nothing(terminal):
    screen = terminal()
    work(None, 0.2)
    assert screen.read() == ""


def test_longer_work_has_a_bar_that_goes(terminal):
    screen = terminal()
    before = threading.active_count(), sys.stdout, sys.stderr
    work(None, 1.6)
    assert (threading.active_count(), sys.stdout, sys.stderr) == before
    shown = screen.read()
    assert re.search(r"^\rn\[b\]e<t> trace .*1[2-5]/20 layers 1 s\x1b\[K", shown)
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown
    assert "\x1b[?25l" not in shown  # the cursor is not hidden


@pytest.mark.parametrize("columns", [100, 60, 24])
def test_a_bar_fits_into_one_line(terminal, columns):
    screen = terminal()
    fcntl.ioctl(screen.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    state = displays.State("a_rather_long_name_of_a_model", "verify", "layers", 1234, 567, 83.2)
    displays.display_for(True).draw(state)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.read())
    assert shown.startswith("\ra_rather_long_")
    assert "567/123" in shown
    assert len(shown) - len("\r\x1b[K") < columns
    assert "\n" not in shown


def test_ctrl_c_takes_the_bar_away(terminal):
    screen = terminal()
    with contextlib.suppress(KeyboardInterrupt), progress.shown(True, "net"):
        progress.begins("trace", "layers", 2)
        signal.raise_signal(signal.SIGINT)
    shown = screen.read()
    assert "0/2 layers" in shown
    assert shown.endswith("\r\x1b[K")


def test_a_log_has_a_line_of_its_own(terminal):
    screen = terminal()
    with progress.shown(True, "net"):
        progress.begins("trace", "layers", 2)
        logging.getLogger("kerasfx.trace").warning("mine")
        screen.stream.write("mine\n")
        progress.step()
    assert "\r\x1b[Kmine\r\n" in screen.read()


# In a real notebook


SLOW = f"""
import sys, time
sys.path[:0] = [{str(ROOT / "src")!r}]
from kerasfx.progress import shown, begins, step
with shown(None, "n[b]e<t>"):
    begins("trace", "layers", 24)
    for _ in range(24):
        time.sleep(0.06)
        step()
print("done")
"""
QUICK = """
with shown(None, "net"):
    begins("trace", "layers", 1)
    step()
"""


def test_in_a_notebook_a_bar_appears_and_ends():
    # Here, since the oldest environment has no notebooks.
    import nbformat
    from nbclient import NotebookClient

    seen = []

    class Watching(NotebookClient):
        def process_message(self, message, cell, cell_index):
            if "display_data" in message["msg_type"]:
                seen.append(message["content"]["data"]["text/html"])
            return super().process_message(message, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in (SLOW, QUICK)])
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_CURRENT_TEST")}
    # The backend that is imported in no time; it warns that it has no gradients.
    environment |= {"KERAS_BACKEND": "numpy", "PYTHONWARNINGS": "ignore"}
    Watching(notebook, timeout=60, kernel_name="python3").execute(env=environment)
    slow, quick = notebook.cells
    bar, done = slow.outputs
    assert any('<progress value="' in html and "n[b]e&lt;t&gt;" in html for html in seen)
    assert bar.data["text/plain"].startswith("n[b]e<t>: trace, 1.")
    assert "<progress" not in bar.data["text/html"]
    assert done.text == "done\n"
    assert quick.outputs == []


# Logging


def logged(caplog, level, name="kerasfx"):
    return [r.getMessage() for r in caplog.records if r.levelno == level and r.name.startswith(name)]


def test_loggers_tell_phases_passes_and_what_stays_whole(net, caplog):
    class Head(keras.Model):
        def __init__(self):
            super().__init__(name="head")
            self.net = net
            self.asks = Asks()

        def build(self, shape):
            self.scale = self.add_weight(shape=(4, 2), name="scale")

        def call(self, x):
            return ops.matmul(self.asks(self.net(x)), self.scale)

    class Asks(keras.Layer):
        def call(self, x):
            return x if ops.sum(x) > 0 else -x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    with caplog.at_level(logging.DEBUG, logger="kerasfx"):
        kerasfx.prepare_model(Head(), keras.Input((4,)))
    # A handler may keep the records, and the models must go all the same.
    assert all(isinstance(x, str | int | float | SourceLine | None) for r in caplog.records for x in r.args)
    phases = [m.partition(" took ")[0] for m in logged(caplog, logging.INFO, "kerasfx.prepare")]
    assert phases == ["trace", "passes", "emit", "verify"]
    assert logged(caplog, logging.INFO, "kerasfx.trace") == ["<Graph 'head': 11 nodes, 1 input, 1 output>"]
    assert any(
        m.startswith("to_dense changed <Graph") for m in logged(caplog, logging.INFO, "kerasfx.passes")
    )
    assert logged(caplog, logging.INFO, "kerasfx.verify") == [
        "'head' and 'head_prepared' are equivalent, bit for bit"
    ]
    debug = logged(caplog, logging.DEBUG, "kerasfx.trace")
    assert "net.blocks[0] (Block) is opened" in debug
    assert any(m.startswith("asks (Asks) stays whole: ") for m in debug)
    assert any("test_progress.py" in m for m in logged(caplog, logging.DEBUG, "kerasfx.passes"))


def test_who_sets_up_no_logging_reads_nothing(net, capfd):
    assert logging.getLogger("kerasfx").handlers
    kerasfx.prepare_model(net, keras.Input((4,)))
    assert capfd.readouterr() == ("", "")


def test_nothing_is_written_down_that_nobody_reads():
    """No message is put together at the call: `info("%s", x)`."""
    calls = [
        (path.name, node)
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and re.match(r"logs\.\w+\.(info|debug)$", ast.unparse(node.func))
    ]
    assert len(calls) > 5
    assert [name for name, call in calls if not isinstance(call.args[0], ast.Constant)] == []
