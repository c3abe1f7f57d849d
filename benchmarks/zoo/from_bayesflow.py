"""Networks of bayesflow, subclassed layers all of them; one function each."""

from bayesflow import networks

from benchmarks.zoo.example import BATCH, LARGER_BATCH, Axis, Example, Tensor, normal

SET = Axis("set", 6)


def bf_coupling_flow_affine() -> Example:
    return Example(networks.CouplingFlow(depth=2, subnet_kwargs={"widths": (8, 8)}), *_density())


def bf_flow_matching() -> Example:
    """Draws a sample: three Euler steps along the learned velocity."""
    network = networks.FlowMatching(
        subnet_kwargs={"widths": (8, 8)}, integrate_kwargs={"method": "euler", "steps": 3}
    )
    args, kwargs = _density()
    return Example(network, args, {**kwargs, "inverse": True})


def _density() -> tuple:
    """Arguments of a conditional density."""
    return (Tensor((LARGER_BATCH, 3), normal()),), {"conditions": Tensor((LARGER_BATCH, 5), normal(seed=1))}


def bf_set_transformer() -> Example:
    network = networks.SetTransformer(summary_dim=4, embed_dims=(8, 8), num_heads=(2, 2), num_seeds=2)
    return Example(network, (Tensor((LARGER_BATCH, SET, 3), normal()),))


def bf_time_series_net() -> Example:
    network = networks.TimeSeriesNetwork(summary_dim=4, filters=4, recurrent_dim=6, skip_steps=2)
    return Example(network, (Tensor((LARGER_BATCH, Axis("time", 8), 3), normal()),))


def bf_unet() -> Example:
    height, width = Axis("height", 16), Axis("width", 16)
    inputs = (
        Tensor((BATCH, height, width, 3), normal()),
        Tensor((BATCH, 1), normal(seed=1)),
        Tensor((BATCH, height, width, 2), normal(seed=2)),
    )
    network = networks.UNet(widths=(8, 16), res_blocks=1, attn_stage=(False, True), groups=4)
    return Example(network, (inputs,))


def bf_fusion_network() -> Example:
    backbones = {
        "a": networks.DeepSet(summary_dim=4, embed_dim=8, mlp_widths=(8,)),
        "b": networks.MLP(widths=(8,)),
    }
    network = networks.FusionNetwork(backbones, head=networks.MLP(widths=(6,)))
    inputs = {"a": Tensor((LARGER_BATCH, SET, 3), normal()), "b": Tensor((LARGER_BATCH, 5), normal())}
    return Example(network, (inputs,))
