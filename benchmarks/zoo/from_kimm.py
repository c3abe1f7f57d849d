"""An image model of kimm."""

import kimm

from benchmarks.zoo.example import Example, of_functional


def kimm_mobile_vit() -> Example:
    return of_functional(kimm.models.MobileViTS(input_shape=(32, 32, 3), classes=3, weights=None))
