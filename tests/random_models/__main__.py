"""Judges random models.

    KERAS_BACKEND=jax python -m tests.random_models --models 30000 --seed 1 --out build/random

Stopped and started again it goes on where it was. `--model 17` judges one model of the seed and shows its
code, and `--plan '[...]'` one plan, as it is printed with a fault.
"""

import argparse
import os
import sys
from pathlib import Path

QUIET = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    # JAX spends most of the time compiling small functions.
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
}
"""Before a backend is imported: one thread, so that sums are done in one order."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.random_models", description=__doc__)
    parser.add_argument(
        "--models", type=int, default=200, help="how many models, those of earlier runs among them"
    )
    parser.add_argument("--first", type=int, default=0, help="the number of the first model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/random"), help="the folder of the record")
    parser.add_argument("--model", type=int, help="judge this model alone and show its code")
    parser.add_argument("--plan", help="judge this plan alone and show its code")
    parser.add_argument("--no-shrink", action="store_true", help="leave faults as large as they were found")
    return parser.parse_args()


def main() -> int:
    """Run the command; 1 where there was a fault."""
    arguments = _arguments()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Only now: they import the backend.
    from tests.random_models.campaign import Campaign
    from tests.random_models.judging import FAULT, asked_of, judge
    from tests.random_models.making import made
    from tests.random_models.plans import from_json, numbered

    if arguments.model is None and arguments.plan is None:
        campaign = Campaign(arguments.seed, arguments.out)
        if not campaign.run(arguments.first, arguments.models, not arguments.no_shrink):
            # Another process goes on where the record ends.
            os.execv(sys.executable, [sys.executable, "-m", "tests.random_models", *sys.argv[1:]])
        print(campaign.table())
        return int(campaign.counts[FAULT] > 0)
    plan = from_json(arguments.plan) if arguments.plan else numbered(arguments.seed, arguments.model)
    print(f"{made(plan).source}\n{plan}\n")
    verdict = judge(plan) if arguments.plan else judge(plan, asked_of(arguments.model))
    print(f"{verdict.kind}: {verdict.reason}\n{verdict.detail}")
    return int(verdict.kind == FAULT)


if __name__ == "__main__":
    raise SystemExit(main())
