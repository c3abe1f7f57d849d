"""Other threads go on as if nothing were traced or compared, and an interrupt leaves nothing behind."""

import gc
import io
import linecache
import os
import signal
import sys
import threading
from contextlib import suppress
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx import progress
from kerasfx.comparing.locate import observed_calls
from kerasfx.comparing.stand_ins import stand_ins
from kerasfx.ir import MetricUpdate
from kerasfx.keras_api import internals, replacing
from kerasfx.keras_api.running import plain_tensorflow
from kerasfx.progress import displays, meter
from kerasfx.runtime.layers import UpdateMetric
from kerasfx.tracing import patches

pytestmark = pytest.mark.any_keras


def in_thread(function):
    """What `function` returns in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class WithMetric(keras.Model):
    """Updates a metric in `call`, where another thread does something, too."""

    def __init__(self, meanwhile=lambda model: None):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.seen = keras.metrics.Mean(name="seen")
        self.meanwhile = meanwhile

    def call(self, x):
        in_thread(lambda: self.meanwhile(self))
        self.seen.update_state(ops.sum(x))
        return self.dense(x)


X = np.arange(8, dtype="float32").reshape(2, 4)


def built(meanwhile):
    model = WithMetric()
    model(X)
    model.seen.reset_state()
    model.meanwhile = meanwhile
    return model


class TestAnotherThread:
    def test_updates_a_metric_of_the_model(self):
        """Its update counts, and is no node of the graph."""
        model = built(lambda model: model.seen.update_state(7.0))
        times = []
        model.meanwhile = lambda model: times.append(model.seen.update_state(7.0))
        session_graph = kerasfx.trace(model, keras.Input((4,))).graph
        assert len(times) == float(model.seen.count)
        assert float(model.seen.result()) == 7.0
        assert sum(isinstance(n.target, MetricUpdate) for n in session_graph.nodes) == 1

    def test_updates_its_metric_while_the_model_is_prepared(self):
        model = built(lambda model: None)
        times = []
        model.meanwhile = lambda model: times.append(model.seen.update_state(3.0))
        prepared = kerasfx.prepare_model(model, keras.Input((4,)), verify=False)
        assert len(times) == float(model.seen.count)
        model.meanwhile = lambda model: None
        layer = next(x for x in prepared.layers if isinstance(x, UpdateMetric))
        layer.metric.reset_state()
        prepared(X)
        assert float(layer.metric.result()) == X.sum()

    def test_calls_a_layer_of_the_model(self):
        """It gets numbers, and nothing of it is recorded."""
        found = []
        model = built(lambda model: found.append(ops.convert_to_numpy(model.dense(X) * 2)))
        expected = ops.convert_to_numpy(model.dense(X) * 2)
        graph = kerasfx.trace(model, keras.Input((4,))).graph
        assert found
        for y in found:
            np.testing.assert_array_equal(y, expected)
        assert len(graph.called_layers()) == 1

    def test_calls_a_function_that_the_layer_holds(self):
        """`self.act = jax.nn.gelu` is recorded in the thread that traces, and computes in any other."""
        backend = keras.backend.backend()
        if backend == "torch":
            import torch

            function = torch.nn.functional.gelu
        elif backend == "jax":
            import jax

            function = jax.nn.gelu
        else:
            import tensorflow as tf

            function = tf.nn.gelu
        found = []

        class Net(keras.layers.Layer):
            act = None

            def call(self, x):
                in_thread(lambda: found.append(self.act(ops.convert_to_tensor(X))))
                return self.act(x)

        layer = Net()
        layer.act = function
        graph = kerasfx.trace(layer, keras.Input((4,))).graph
        expected = ops.convert_to_numpy(function(ops.convert_to_tensor(X)))
        for y in found:
            np.testing.assert_array_equal(ops.convert_to_numpy(y), expected)
        assert found
        assert len(graph.nodes) == 1
        assert layer.act is function

    def test_asks_a_layer_for_its_results(self):
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        x = keras.Input((4,))
        with internals.output_spec_is(layer, "mine"):
            assert layer.compute_output_spec(x) == "mine"
            assert in_thread(lambda: layer.compute_output_spec(x)).shape == (None, 3)
        assert "compute_output_spec" not in vars(layer)

    @pytest.mark.skipif(keras.backend.backend() == "jax", reason="its training works on values alone")
    def test_uses_a_model_whose_variables_have_stand_ins(self):
        """It sees the model's own weights, and what it assigns to them stays."""
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        kernel = layer.kernel
        own = ops.convert_to_numpy(kernel)
        held = stand_ins([(kernel, ops.zeros((4, 3)))], {id(kernel)})
        with internals.holding(held):
            assert ops.convert_to_numpy(kernel).max() == 0
            kernel.assign(ops.full((4, 3), 2.0))
            np.testing.assert_array_equal(in_thread(lambda: ops.convert_to_numpy(kernel)), own)
            in_thread(lambda: kernel.assign(ops.full((4, 3), 7.0)))
            assert ops.convert_to_numpy(kernel).max() == 2
        assert ops.convert_to_numpy(kernel).min() == 7
        assert patches.patched() == ()

    @pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
    def test_calls_its_own_compiled_functions(self):
        """They stay compiled there, while a comparison runs the inside of its own."""
        import tensorflow as tf

        runs = []

        @tf.function
        def function(x):
            runs.append(x)
            return x + 1.0

        with plain_tensorflow():
            for _ in range(3):
                in_thread(lambda: function(tf.ones(2)))
            assert len(runs) == 1
            function(tf.ones(2))
            function(tf.ones(2))
            assert len(runs) == 3
        assert not tf.config.functions_run_eagerly()

    def test_leaves_no_replacement_of_another_behind(self):
        """Blocks that overlap in any order put back what was there before the first."""
        remat, call = getattr(internals.backend.core, "remat", None), keras.Layer.__call__
        blocks = [
            lambda: observed_calls(lambda layer, outputs: None),
            lambda: internals.nothing_is_recomputed([]),
            patches.installed,
        ]
        for first in blocks:
            for second in blocks:
                a, b = first(), second()
                a.__enter__()
                b.__enter__()
                a.__exit__(None, None, None)
                b.__exit__(None, None, None)
                assert patches.patched() == ()
                assert keras.Layer.__call__ is call
                assert getattr(internals.backend.core, "remat", None) is remat


class Interrupting:
    """Raises `KeyboardInterrupt` at the step number `n` of the code in some files, as a signal may."""

    def __init__(self, n, files):
        self.left, self.files, self.fired = n, files, False

    def __enter__(self):
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _trace(self, frame, event, arg):
        is_finalizer = frame.f_code.co_name == "__del__"  # from which Python lets no exception go on
        if is_finalizer or not frame.f_code.co_filename.endswith(self.files):
            return None
        self._step()
        return self._line

    def _line(self, frame, event, arg):
        # Python looks for signals behind calls, and not where it takes or gives back the lock of a `with`.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and "with _lock:" not in line:
            self._step()
        return self._line

    def _step(self):
        self.left -= 1
        if self.left == 0:
            self.fired = True
            raise KeyboardInterrupt


def interrupted(n, function, files):
    """Whether `function` had a step number `n`; it was interrupted there."""
    with Interrupting(n, files) as interrupting:
        try:  # noqa: SIM105  (the code of `suppress` is among what is interrupted)
            function()
        except KeyboardInterrupt:
            pass
    if replacing._open or meter._drawing:  # the block waits in a cycle of references
        gc.collect()
    return interrupting.fired


class TestInterrupt:
    def test_at_every_step_of_replacing(self):
        module = ModuleType("patched")
        vars(module).update(a=1, b=2)

        def install():
            for name in ("a", "b", "new", "a"):
                replacing.replace(module, name, "replaced")

        def use():
            with replacing.Replaced(install):
                assert module.a == "replaced"
            assert module.a == 1

        n = 1
        while interrupted(n, use, ("replacing.py", "contextlib.py")):
            assert (module.a, module.b, hasattr(module, "new")) == (1, 2, False), n
            assert (replacing.installed, replacing._open, replacing._groups) == ([], {}, []), n
            assert not replacing._lock._is_owned(), n
            n += 1
        assert n > 60

    def test_within_others(self):
        """A block that is interrupted while it opens leaves what others have in place."""
        module = ModuleType("patched")
        module.a = 1

        def outer():
            replacing.replace(module, "a", 2)

        def inner():
            replacing.replace(module, "a", 3)
            raise KeyboardInterrupt

        with replacing.Replaced(outer):
            with pytest.raises(KeyboardInterrupt), replacing.Replaced(inner):
                pass
            assert module.a == 2
        assert module.a == 1

    def test_while_something_is_undone(self):
        """It is undone to its end, then the interrupt goes on."""
        undone = []

        def undo():
            undone.append(len(undone))
            if len(undone) < 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), replacing.undone(undo):
            pass
        assert undone == [0, 1, 2, 3]

    def test_at_every_step_of_a_bar(self, monkeypatch):
        """Whatever was drawn is taken down, and the next bar is drawn as ever."""
        screen = io.StringIO()

        class Screen(displays.Terminal):
            every, _columns = 0.0, lambda self: 80

        monkeypatch.setattr(progress, "display_for", lambda asked: Screen(0.0, screen))

        def use():
            with progress.shown(True, "net"):
                progress.begins("trace", "layers", 2)
                progress.step()

        n = 1
        while interrupted(n, use, ("meter.py", "displays.py", "progress/__init__.py")):
            assert meter._drawing == {}, n
            assert progress._open.get() is None, n
            assert screen.getvalue().endswith("\r\x1b[K") or not screen.getvalue(), n
            n += 1
        assert n > 60

    def test_of_prepare_model(self):
        """At some steps of all that it takes: the original is as before, and is prepared afterwards."""
        model = built(lambda model: None)
        model.dense.attribute = [1]
        before = vars(model.dense)["attribute"]
        own = {k: v for k, v in vars(model.dense).items() if not k.startswith("_")}
        expected = ops.convert_to_numpy(model(X))
        model.seen.reset_state()
        files = ("replacing.py", "patches.py", "internals.py", "run.py", "leftovers.py", "metrics.py")

        def prepare():
            kerasfx.prepare_model(model, keras.Input((4,)))

        n = 1
        while interrupted(n, prepare, files):
            assert patches.patched() == ()
            assert vars(model.dense)["attribute"] is before
            assert {k: v for k, v in vars(model.dense).items() if not k.startswith("_")} == own
            n = n * 5 + 1
        np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), expected)
        prepared = kerasfx.prepare_model(model, keras.Input((4,)))
        np.testing.assert_array_equal(ops.convert_to_numpy(prepared(X)), expected)

    @pytest.mark.skipif(not hasattr(signal, "raise_signal") or os.name != "posix", reason="no such signals")
    @pytest.mark.parametrize("place", ["install", "remove"])
    def test_by_a_signal(self, place):
        """Ctrl-C while 2,000 functions of Keras are replaced or put back."""
        call, top = keras.Layer.__call__, 0

        def send():
            nonlocal top
            while not stop.is_set():
                count = len(patches._installed)
                top = max(top, count)
                if count > 0 if place == "install" else 0 < count < top - 20:
                    os.kill(os.getpid(), signal.SIGINT)
                    return

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for _ in range(5):
                stop = threading.Event()
                thread = threading.Thread(target=send)
                with suppress(KeyboardInterrupt):
                    thread.start()
                    while thread.is_alive():
                        with patches.installed():
                            pass
                stop.set()
                thread.join()
                gc.collect()
                assert patches.patched() == ()
                assert keras.Layer.__call__ is call
        finally:
            sys.setswitchinterval(interval)
