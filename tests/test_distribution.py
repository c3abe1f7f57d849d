"""Models whose weights lie on several devices: prepared where they are, and trained there."""

import keras
import pytest
from distributed import run_distributed

pytestmark = pytest.mark.every_run

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution works on JAX alone")
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="strategies are TensorFlow's"
)


@pytest.fixture(scope="module")
def split():
    return run_distributed("split_model")


@on_jax
@pytest.mark.parametrize("case", ["copy", "share", "outside"])
def test_weights_keep_their_layouts_and_are_never_gathered(split, case):
    seen = split[case]
    assert "'model'" in seen["layouts"]["small/block/up/kernel"][0]
    assert [ours for ours, _ in seen["layouts"].values()] == [w for _, w in seen["layouts"].values()]
    assert seen["in_one_piece"] == []
    assert seen["other_values"] == []


@on_jax
def test_a_copy_shares_no_memory_on_any_device(split):
    assert split["copy"]["same_memory"] == []
    assert split["outside"]["same_memory"] == []
    assert set(split["share"]["same_memory"]) == set(split["share"]["layouts"])


@on_jax
def test_copies_do_not_begin_in_one_piece(split):
    """The distribution, which goes by paths, is not asked for the layouts of copies."""
    assert split["asked_while_preparing"] == []


@on_jax
def test_a_split_model_is_trained_alike_and_stays_split():
    seen = run_distributed("split_training")
    assert_trained_alike(seen)
    assert seen["kept"]
    assert seen["kept_at_home"]
    assert seen["differs"] == ""


@on_jax
def test_replicas_are_trained_alike():
    assert_trained_alike(run_distributed("replicas"))


@on_tensorflow
def test_mirrored_weights_stay_mirrored_and_are_trained_alike():
    seen = run_distributed("mirrored")
    assert_trained_alike(seen)
    assert seen["kinds"] == ["MirroredVariable"]


def assert_trained_alike(seen):
    for losses in seen["losses"]:
        assert losses == pytest.approx(seen["losses_of_original"])
    assert seen["untouched"]
