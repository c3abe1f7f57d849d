"""All private Keras API, and what is asked of Keras's classes."""

import keras

from kerasfx.errors import describe


def _require_keras_3(version: str) -> None:
    """Refuse a Keras of which everything here is another, before its first missing name does.

    Raises:
        ImportError: It is one.
    """
    if int(version.partition(".")[0]) < 3:
        raise ImportError(
            describe(
                f"kerasfx is for Keras 3, and this is Keras {version}.",
                why="layers of Keras 2, tf_keras among them, are not supported yet",
                hint='pip install "keras>=3.14", and load the model with it',
            )
        )


_require_keras_3(keras.__version__)
