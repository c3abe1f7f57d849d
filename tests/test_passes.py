"""Passes of the user's: run, named where they fail, and compared with the original."""

import keras
import numpy as np
import pytest
from keras import ops
from zoo import ALL

import kerasfx
from kerasfx import passes
from kerasfx.errors import GraphError, NotEquivalentError, PassError
from kerasfx.ir.weights import transpose


class Net(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.dense = keras.layers.Dense(4)
        self.norm = keras.layers.BatchNormalization()

    def call(self, x, training=None):
        return ops.tanh(self.norm(self.dense(x), training=training))


def inputs():
    return keras.Input((4,), name="x")


def retarget(old, new):
    def pass_(graph):
        nodes = [node for _, node in graph.walk() if node.target == old]
        for node in nodes:
            node.target = new
        return bool(nodes)

    pass_.__name__ = f"{old.rpartition('.')[2]}_to_{new.rpartition('.')[2]}"
    return pass_


def always_trains(graph):
    """Right in training, wrong in inference."""
    return _fix_training(graph, True)


def never_trains(graph):
    """Right in inference, wrong in training."""
    return _fix_training(graph, False)


def _fix_training(graph, mode):
    (node,) = [n for n in graph.nodes if isinstance(n.layer, keras.layers.BatchNormalization)]
    graph.set_arguments(node, node.args, {**node.kwargs, "training": mode})
    return True


@pytest.fixture
def net():
    keras.utils.set_random_seed(1)
    model = Net()
    model(np.ones((2, 4), "float32"))
    model.norm.moving_mean.assign(np.arange(4.0))
    return model


def test_they_see_what_trace_gives_and_run_before_the_default_ones(net):
    seen = []

    def look(graph):
        seen.append(str(graph))
        return False

    prepared = kerasfx.prepare_model(net, inputs(), passes=[look])
    assert seen == [str(kerasfx.trace(net, inputs()))]
    assert any(isinstance(x, keras.layers.Activation) for x in prepared.layers)


def test_a_right_one_changes_the_model(net):
    def by_exp(graph):
        for place, found in passes.op.tanh(passes.any_("x")).find(graph):
            found.root.target = "keras.ops.sinh"
            cosh = place.make("keras.ops.cosh", found["x"])
            place.insert_before(found.root, cosh)
            quotient = place.make("keras.ops.divide", found.root.outputs, cosh.outputs)
            place.insert_after(found.root, quotient)
            place.replace_uses(found.root.outputs, quotient.outputs, except_=[quotient])
        return True

    prepared = kerasfx.prepare_model(net, inputs(), passes=[by_exp])
    called = {x.op for x in prepared.layers if hasattr(x, "op")}
    assert called == {"keras.ops.cosh", "keras.ops.sinh", "keras.ops.divide"}


def test_a_wrong_one_is_named_and_its_result_is_not_returned(net):
    with pytest.raises(NotEquivalentError) as caught:
        kerasfx.prepare_model(net, inputs(), passes=[retarget("keras.ops.tanh", "keras.ops.sin")])
    message = str(caught.value)
    assert "these passes changed the graph: tanh_to_sin" in message
    assert "outputs" in message
    assert 'verify="inference"' not in message
    assert not caught.value.comparison


def test_one_that_is_right_in_inference_alone_has_to_be_asked_for(net):
    with pytest.raises(NotEquivalentError) as caught:
        kerasfx.prepare_model(net, inputs(), passes=[never_trains])
    assert 'verify="inference" if they are meant to be right in inference only' in str(caught.value)
    prepared = kerasfx.prepare_model(net, inputs(), passes=[never_trains], verify="inference")
    assert kerasfx.compare(net, prepared, modes=("inference",))
    assert not kerasfx.compare(net, prepared, modes=("training",))
    assert not kerasfx.compare(net, prepared)


def test_one_that_is_wrong_in_inference_is_found_there(net):
    with pytest.raises(NotEquivalentError):
        kerasfx.prepare_model(net, inputs(), passes=[always_trains], verify="inference")
    prepared = kerasfx.prepare_model(net, inputs(), passes=[always_trains], verify=False)
    assert kerasfx.compare(net, prepared, modes=("training",))
    assert not kerasfx.compare(net, prepared, modes=("inference",))


def test_the_quick_comparison_asks_about_gradients_where_passes_ran():
    class Plain(keras.Model):
        def __init__(self):
            super().__init__(name="plain")
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return ops.tanh(self.dense(x))

    def stop(graph):
        (node,) = [n for n in graph.nodes if n.target == "keras.ops.tanh"]
        held = graph.make("keras.ops.stop_gradient", node.args[0])
        graph.insert_before(node, held)
        graph.set_arguments(node, (held.outputs,), node.kwargs)
        return True

    with pytest.raises(NotEquivalentError):
        kerasfx.prepare_model(Plain(), inputs(), passes=[stop])


def test_what_a_pass_raises_says_which_and_where(net):
    def fails(graph):
        raise KeyError("kernel")

    with pytest.raises(KeyError) as caught:
        kerasfx.prepare_model(net, inputs(), passes=[fails])
    (note,) = caught.value.__notes__
    assert note.startswith("  pass:  fails (")
    assert f"{__file__}:" in note
    assert note.endswith("on the graph of 'net'")


def test_a_graph_that_it_broke_says_which(net):
    def breaks(graph):
        graph.nodes.reverse()
        return True

    with pytest.raises(GraphError) as caught:
        kerasfx.prepare_model(net, inputs(), passes=[breaks])
    assert any("breaks (" in note for note in caught.value.__notes__)


def test_one_that_gives_no_answer_is_refused(net):
    def forgets(graph):
        pass

    with pytest.raises(PassError, match="forgets returned None, and not whether it changed the graph"):
        kerasfx.prepare_model(net, inputs(), passes=[forgets])


def test_what_is_no_function_is_refused_before_any_work(net):
    with pytest.raises(PassError, match="not 'fold' of type str"):
        kerasfx.prepare_model(net, inputs(), passes=["fold"])

    def takes_none():
        return False

    with pytest.raises(PassError, match=r"with the graph alone, and takes_none\(\) cannot be(.|\n)*do: "):
        kerasfx.prepare_model(net, inputs(), passes=[takes_none])
    with pytest.raises(PassError, match=r"takes a list of functions(.|\n)*do: +passes=\[my_pass\]"):
        kerasfx.prepare_model(net, inputs(), passes=lambda graph: False)


def test_an_object_that_can_be_called_is_a_pass(net):
    class Counts:
        def __init__(self):
            self.calls = 0

        def __call__(self, graph):
            self.calls += 1
            return False

    counts = Counts()
    kerasfx.prepare_model(net, inputs(), passes=[counts])
    assert counts.calls == 1


def test_a_flat_model_is_edited_too():
    x = inputs()
    flat = keras.Model(x, keras.layers.Dense(4, activation="tanh")(x))
    assert kerasfx.prepare_model(flat) is flat
    seen = []
    kerasfx.prepare_model(flat, passes=[lambda graph: bool(seen.append(graph))])
    assert len(seen) == 1


def test_the_default_list_may_be_edited(net, monkeypatch):
    monkeypatch.setattr(passes, "DEFAULT", [])
    prepared = kerasfx.prepare_model(net, inputs())
    assert not any(isinstance(x, keras.layers.Activation) for x in prepared.layers)


MANY_KINDS = """
attention_with_implicit_masks class_token constant_arrays dropout_subclasses dtype_casts einops_attention
cond_with_a_custom_layer_inside mask_changed_by_compute_mask moving_average_of_a_custom_layer
ops_shape_arithmetic python_branch_on_training tied_embedding_projection weight_normalisation
"""


def honest(each):
    """A pass that is found out where it edits a graph and says that it does not."""

    def run(graph):
        before = str(graph)
        answer = each(graph)
        assert answer or str(graph) == before
        return answer

    return run


@pytest.mark.any_keras
@pytest.mark.parametrize("name", MANY_KINDS.split())
def test_the_default_ones_say_whether_they_changed_the_graph(name, monkeypatch):
    """What says that it changed nothing is not checked."""
    monkeypatch.setattr(passes, "DEFAULT", [honest(each) for each in passes.DEFAULT])
    case = ALL[name]()
    inputs = kerasfx.Inputs(case.inputs, **case.call_kwargs) if case.needs_input else None
    kerasfx.prepare_model(case.model, inputs, verify=False)


@pytest.mark.parametrize("verify", ["training", "inferense", None, 3])
def test_another_way_to_verify_is_refused(net, verify):
    with pytest.raises(ValueError, match='verify must be True or False or "inference", not'):
        kerasfx.prepare_model(net, inputs(), verify=verify)


@pytest.mark.parametrize("modes", ["inference", (), ("predict",), ("inference", "both")])
def test_other_modes_are_refused(net, modes):
    prepared = kerasfx.prepare_model(net, inputs())
    with pytest.raises(ValueError, match="modes must be"):
        kerasfx.compare(net, prepared, modes=modes)


def test_equal_arrays_do_not_make_one_layer(net):
    def adapters(graph):
        for node in graph.nodes:
            if node.calls_layer(keras.layers.Dense) or node.calls("keras.ops.tanh"):
                weights = {"kernel": np.eye(4, dtype="float32")}
                new = graph.make("keras.layers.Dense", node.outputs, units=4, use_bias=False, weights=weights)
                graph.insert_after(node, new)
                graph.replace_uses(node.outputs, new.outputs, except_=[new])
        return True

    prepared = kerasfx.prepare_model(net, inputs(), passes=[adapters])
    assert sum(isinstance(x, keras.layers.Dense) for x in prepared.layers) == 3


class Tied(keras.layers.Layer):
    """Uses one weight twice, transposed."""

    def build(self, shape):
        self.w = self.add_weight(shape=(4, 4), name="w")

    def call(self, x):
        return ops.matmul(ops.tanh(ops.matmul(x, ops.transpose(self.w))), ops.transpose(self.w))


def to_tied_dense(graph, weight_for):
    for node in graph.nodes:
        if node.calls("keras.ops.matmul"):
            weights = {"kernel": weight_for(node.args[1].node.args[0])}
            new = graph.make(
                "keras.layers.Dense", node.args[0], units=4, use_bias=False, weights=weights, like=node
            )
            graph.replace(node, new)
    return graph.prune()


def test_one_computed_weight_is_one_variable():
    made = {}

    def shared(graph):
        return to_tied_dense(graph, lambda w: made.setdefault(w, graph.computed(transpose(w))))

    prepared = kerasfx.prepare_model(Tied(), inputs(), passes=[shared])
    assert len(prepared.trainable_variables) == 1


def test_two_computed_weights_of_one_variable_would_train_apart():
    with pytest.raises(GraphError, match=r"held by 'matmul' and by 'matmul_1'(.|\n)*graph.computed"):
        kerasfx.prepare_model(Tied(), inputs(), passes=[lambda g: to_tied_dense(g, transpose)])


def test_a_free_size_is_no_number():
    def asks(graph):
        return graph.inputs.shape[1] >= 4

    with pytest.raises(GraphError, match=r"a size that is free: x.shape\[1\] >= 4(.|\n)*isinstance"):
        kerasfx.prepare_model(Net(), keras.Input((None, 4), name="x"), passes=[asks])
    kerasfx.prepare_model(Net(), keras.Input((None, 4), name="x"), passes=[lambda g: g.inputs.shape[1] < 0])


def test_a_value_may_take_the_place_of_a_call(net):
    def no_tanh(graph):
        return passes.rewrite(graph, passes.op.tanh(passes.any_("x")), lambda graph, found: found["x"])

    graph = kerasfx.trace(net, inputs()).graph
    assert no_tanh(graph)
    graph.check()
    assert not any(n.calls("keras.ops.tanh") for n in graph.nodes)
    with pytest.raises(GraphError, match=r"return a node of graph\.make"):
        passes.rewrite(graph, passes.layer(keras.layers.Dense, passes.any_()), lambda g, found: (1, 2))


def test_the_report_says_what_a_pass_took_out(net):
    def no_norm(graph):
        node = next(n for n in graph.nodes if n.calls_layer(keras.layers.BatchNormalization))
        graph.replace_uses(node.outputs, node.args[0])
        graph.remove(node)
        return True

    prepared = kerasfx.prepare_model(net, inputs(), passes=[no_norm], verify=False)
    said = [f.what for f in kerasfx.report(prepared).findings if f.kind == "unused"]
    assert len(said) == 4
    assert all("a pass has taken it out" in x for x in said)


def test_a_dead_node_that_holds_a_weight_is_named(net):
    def leaves_it_behind(graph):
        node = next(n for n in graph.nodes if n.calls_layer(keras.layers.Dense))
        weights = {name: graph.weight_of(node, name) for name in ("kernel", "bias")}
        new = graph.make("keras.layers.Dense", *node.args, units=4, weights=weights)
        graph.insert_before(node, new)
        graph.replace_uses(node.outputs, new.outputs)
        return True

    with pytest.raises(GraphError, match=r"nothing uses 'dense'(.|\n)*graph.prune\(\)"):
        kerasfx.prepare_model(net, inputs(), passes=[leaves_it_behind])


def test_a_pass_that_changes_a_layer_of_the_original_is_refused(net):
    def sets_relu(graph):
        for layer in graph.called_layers():
            if isinstance(layer, keras.layers.Dense):
                layer.activation = keras.activations.relu
        return True

    with pytest.raises(GraphError, match=r"'dense.*' of the original was changed(.|\n)*sets_relu"):
        kerasfx.prepare_model(net, inputs(), passes=[sets_relu])


def test_a_layer_around_one_without_a_config_is_no_obstacle():
    class Inner(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def get_config(self):
            raise NotImplementedError

        def call(self, x):
            return x * self.factor

        def compute_output_shape(self, shape):
            return shape

    x = keras.Input((3, 4))
    model = keras.Model(x, keras.layers.TimeDistributed(Inner(2.0))(x))
    graph = kerasfx.trace(model, leaves=[keras.layers.TimeDistributed]).graph
    assert passes.run(graph, [lambda graph: False]) == []


def test_passes_over_what_was_prepared_already_are_warned_of():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, ops.exp(ops.log(inputs)))
    prepared = kerasfx.prepare_model(model)
    again = kerasfx.prepare_model(prepared, passes=[lambda graph: False])
    assert "it was prepared before" in str(kerasfx.report(again))
    assert "it was prepared before" not in str(
        kerasfx.report(kerasfx.prepare_model(model, passes=[lambda graph: False]))
    )
