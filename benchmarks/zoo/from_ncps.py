"""Neural circuits of ncps, whose cells solve a differential equation per time step; one function each."""

import keras
from ncps.keras import LTC, CfC
from ncps.wirings import AutoNCP

from benchmarks.zoo.example import Example, of_functional


def ncps_closed_form() -> Example:
    """A wired circuit in closed form."""
    series = keras.Input((None, 3))
    return of_functional(keras.Model(series, CfC(AutoNCP(8, 2, seed=0), return_sequences=True)(series)))


def ncps_liquid() -> Example:
    """A liquid time constant, with three steps of its solver for each time step."""
    series = keras.Input((None, 3))
    return of_functional(keras.Model(series, LTC(AutoNCP(8, 2, seed=0), ode_unfolds=3)(series)))
