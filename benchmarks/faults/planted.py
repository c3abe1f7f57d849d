"""The faults: changes of a line of the package that would return a wrong model, or do harm, in silence.

A fault is found by its line and not by its file, which may move.
"""

from dataclasses import dataclass

CASES = "tests/test_prepare_zoo.py"


@dataclass(frozen=True)
class Fault:
    """A change of one line that returns a wrong model, or does harm, in silence.

    Attributes:
        name: What the fault is called.
        what: What is wrong with it.
        line: The part of a line of the package that it changes, which occurs once.
        wrong: What stands there instead.
        tests: Arguments of pytest for the tests that are first to notice.
    """

    name: str
    what: str
    line: str
    wrong: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "frozen_weight",
        "a weight that `call` reads is no longer trained",
        "trainable=self.trainable,",
        "trainable=False,",
        (CASES, "-k", "class_token"),
    ),
    Fault(
        "constant_for_a_weight",
        "a weight that `call` reads becomes a constant of its present value",
        "return trace.graph.add_parameter(",
        "return (lambda v, *_: trace.graph.add_constant(keras.ops.convert_to_numpy(v.value)))(",
        (CASES, "-k", "class_token"),
    ),
    Fault(
        "lost_mask",
        "a mask that is attached by hand is dropped",
        "        return inputs[1]",
        "        return None",
        (CASES, "-k", "mask_set_as_an_attribute or mask_changed_by_compute_mask"),
    ),
    Fault(
        "lost_loss",
        "a loss that `call` adds is dropped",
        "self.add_loss(loss)",
        "pass",
        (CASES, "-k", "loss_added_by_a_custom_layer or activity_regularizers"),
    ),
    Fault(
        "order_of_draws",
        "two draws of one layer change places",
        "for before, after in pairwise(nodes):",
        "for before, after in pairwise(nodes[:1]):",
        (CASES, "-k", "called_for_a_short"),
    ),
    Fault(
        "training_ignored",
        "`training=True` that the code gives to a layer does not reach it",
        "if self.fixed is not None:",
        "if False:",
        (CASES, "-k", "training_fixed_to"),
    ),
    Fault(
        "statistics_not_updated",
        "what `call` assigns to a variable is thrown away",
        "self.weight.assign(new_value)",
        "pass",
        (CASES, "-k", "moving_average_of_a_custom_layer or state_updated_by_a_custom_layer"),
    ),
    Fault(
        "cast_of_inputs",
        "the layers that stand for operations cast their inputs to float32",
        'super().__init__(dtype="float32", autocast=False, **kwargs)',
        'super().__init__(dtype="float32", **kwargs)',
        (CASES, "-k", "dtype_casts or mixed_float16 or float16_input"),
    ),
    Fault(
        "class_of_the_users_in_a_file",
        "a saved file names a class of the user's where Keras's own would do",
        "            return base",
        "            return cls",
        (CASES, "-k", "builtin_subclass_that_only_presets or dropout_subclasses"),
    ),
    Fault(
        "process_changed",
        "preparing shifts the names that the user's later layers get",
        "with undone(give_back):",
        "with undone(lambda: None):",
        (CASES, "-k", "subclassed_model_that_was_called or subclassed_model_that_was_built"),
    ),
    Fault(
        "size_baked_in",
        "a free size becomes the size of the example",
        "return tuple(None if isinstance(d, Dim) else d for d in value.shape)",
        "return tuple(d.hints[0] if isinstance(d, Dim) else d for d in value.shape)",
        (CASES, "-k", "class_token or subclass_in_functional"),
    ),
    Fault(
        "lost_guard",
        "what Python decided by a size is not checked at run time",
        "_insert_check(graph, anchor, group)",
        "pass",
        ("tests/test_sizes.py",),
    ),
    Fault(
        "unsafe_function",
        "a file may name any function of a namespace of the backend",
        "if space and function_name in space.allowed else None",
        "if space else None",
        ("tests/test_backend_functions.py", "tests/test_security.py"),
    ),
    Fault(
        "effect_without_a_result",
        "a layer that acts, and whose result nobody uses, is left out",
        "    calls = _acting(graph)\n",
        "    calls = []\n",
        ("tests/test_acting_in_vain.py", "tests/test_unused.py"),
    ),
    Fault(
        "metric_not_updated",
        "a metric that `call` updates is not",
        "    session.effects.metric_calls.append(call)",
        "    del call",
        (CASES, "-k", "metric"),
    ),
    Fault(
        "tensor_left_in_the_original",
        "an attribute of the original keeps a tensor of the trace",
        "                del now[name]",
        "                pass",
        ("tests/test_original_unchanged.py",),
    ),
    Fault(
        "draw_of_python",
        "a random number of Python's becomes a constant",
        '    if session.in_user_code and called_by_user():\n        raise _refusal(session, f"`call` draws',
        '    if False:\n        raise _refusal(session, f"`call` draws',
        ("tests/test_random_numbers.py",),
    ),
    Fault(
        "done_in_both_modes",
        "what only inference does is done in training as well",
        "replace(x, when=False, training=rule)",
        "replace(x, training=rule)",
        ("tests/test_branches.py",),
    ),
    Fault(
        "modes_change_places",
        "where the two modes come together, inference takes the side of training",
        "    return select(session, a, b)",
        "    return select(session, b, a)",
        ("tests/test_branches.py",),
    ),
    Fault(
        "added_for_subtracted",
        "a number that is subtracted is added by the layer that takes its place",
        '_moved_by(found, 1.0, -float(found["offset"]))',
        '_moved_by(found, 1.0, float(found["offset"]))',
        ("tests/test_lower_rescaling.py",),
    ),
    Fault(
        "gradients_of_merged_calls",
        "calls are merged through which gradients flow",
        "is_pure and node.outputs not in places.with_gradient and",
        "is_pure and",
        ("tests/test_clean_up.py",),
    ),
    Fault(
        "lossy_cast_left_out",
        "a cast that loses digits is joined with the next one",
        "    if second not in WIDER.get(first, ()):\n        return False\n",
        "",
        ("tests/test_clean_up.py",),
    ),
    Fault(
        "permutation_turned_round",
        "two transposes are joined in the wrong order",
        "tuple(first[axis] for axis in second)",
        "tuple(second[axis] for axis in first)",
        ("tests/test_clean_up.py",),
    ),
    Fault(
        "another_epsilon",
        "a normalization gets Keras's default epsilon",
        "    return keras.config.epsilon() if given is None else given",
        "    return keras.config.epsilon()",
        ("tests/test_lower_normalization.py",),
    ),
    Fault(
        "another_generator",
        "dropout by hand begins its draws anew",
        'LayerSpec("keras.layers.Dropout", config, generator=generator)',
        'LayerSpec("keras.layers.Dropout", config)',
        ("tests/test_lower_dropout.py",),
    ),
    Fault(
        "thawed_by_lowering",
        "a frozen weight is trained in the layer that a pass puts there",
        '    return {"trainable": all(asked.values())} if asked else {}',
        "    return {}",
        ("tests/test_weights_of_passes.py",),
    ),
    Fault(
        "mask_of_another_place",
        "a layer gets the mask that the tensor carried elsewhere",
        "            return tensor\n        # One layer for all places where",
        "            return tensor\n        return tensor\n        # One layer for all places where",
        (CASES, "-k", "mask_changed_by_compute_mask or attention_with_implicit_masks or op_drops_the_mask"),
    ),
    Fault(
        "draws_begin_anew",
        "the seeds of the original start from the beginning",
        "                hand_over(layer.generator.state, generator.state)\n",
        "                pass\n",
        (CASES, "-k", "seed_generator"),
    ),
    Fault(
        "metric_begins_anew",
        "a metric in the model forgets what it has counted",
        "            making.transfer_metric(metric, copy)\n",
        "",
        (CASES, "-k", "metric"),
    ),
    Fault(
        "default_of_training_lost",
        "a layer gets `training` by another rule than in the original",
        "            modes.set_rule(outputs, rule)",
        "            pass",
        ("tests/test_training_behaviour.py", "tests/test_bare_calls.py"),
    ),
    Fault(
        "optimizer_begins_anew",
        "the moments of the optimizer are zeros",
        "                way.give(theirs, ours)",
        "                pass",
        ("tests/test_compile_like_original.py",),
    ),
    Fault(
        "decayed_after_all",
        "a weight that was excluded from weight decay is decayed",
        "        if excluded:\n            theirs.exclude_from_weight_decay(var_list=excluded)\n",
        "",
        ("tests/test_compile_like_original.py",),
    ),
    Fault(
        "thawed_by_copying",
        "a frozen weight of a layer is trained in its copy",
        "        target.trainable = source.trainable\n        if begun",
        "        if begun",
        ("tests/test_copying.py", "-k", "frozen"),
    ),
    Fault(
        "state_in_attributes_lost",
        "what a layer holds in attributes stays behind",
        "            copy.__dict__[name] = _copied_value(value)",
        "            pass",
        ("tests/test_copying.py",),
    ),
    Fault(
        "array_of_the_original",
        "a copied weight has the very array of the original",
        "        return keras.ops.copy(value)\n    import jax",
        "        return value\n    import jax",
        ("tests/test_share_and_copy.py",),
    ),
    Fault(
        "layer_of_the_original",
        "a copy has a layer of the original that its constructor takes from elsewhere",
        "    if common is not None:",
        "    if False:",
        ("tests/test_copying.py",),
    ),
    Fault(
        "table_of_the_original",
        "a table that `call` fills keeps what a trace has put there",
        "            fill(value, before)",
        "            pass",
        ("tests/test_original_unchanged.py",),
    ),
    Fault(
        "coarse_comparison",
        "the comparison allows ten thousand times as much",
        "_ABSOLUTE = 1e-6",
        "_ABSOLUTE = 1e-2",
        ("tests/test_compare.py",),
    ),
)
