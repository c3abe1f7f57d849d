"""The detectors of kyolo."""

from kyolo.models.yolo26.yolo26_model import build_yolo26

from benchmarks.zoo.example import Example, of_functional


def kyolo_26() -> Example:
    return of_functional(build_yolo26("n", nc=3, input_shape=(64, 64, 3)))
