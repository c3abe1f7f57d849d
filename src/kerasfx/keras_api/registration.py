"""Classes that Keras finds by their registered names although they are only made when it asks for them.

| private name | relied on for | since |
|---|---|---|
| `object_registration.GLOBAL_CUSTOM_OBJECTS` | what is registered, by name; a global at each look-up | 3.0 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras.src.saving import object_registration


class Registered(dict[str, Any]):
    """What is registered with Keras, and what is made and registered when it is asked for.

    It is the dict that `keras.saving.get_custom_objects` gives: to go through it shows what was made so far.
    """

    def __init__(self, registered: Mapping[str, Any]):
        super().__init__(registered)
        self._makers: dict[str, Mapping[str, Any]] = {}

    def add_maker(self, package: str, classes: Mapping[str, Any]) -> None:
        """Ask `classes` for what is not there of a package; it registers what it makes."""
        self._makers[package] = classes

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._made_as(name) is not None

    def __missing__(self, name: str) -> Any:
        found = self._made_as(name)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str, default: Any = None, /) -> Any:
        """What is registered as `name`, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default

    def _made_as(self, name: object) -> Any:
        package, _, class_name = name.partition(">") if isinstance(name, str) else ("", "", "")
        classes = self._makers.get(package, {})
        return classes.get(class_name)


def made_when_asked_for(package: str, classes: Mapping[str, Any]) -> None:
    """Let Keras find the classes of a package by their names, `package>name`.

    Args:
        package: As in `register_keras_serializable`.
        classes: Has the names; gives a class when it is asked for one, and registers it.
    """
    if not isinstance(object_registration.GLOBAL_CUSTOM_OBJECTS, Registered):
        object_registration.GLOBAL_CUSTOM_OBJECTS = Registered(object_registration.GLOBAL_CUSTOM_OBJECTS)
    object_registration.GLOBAL_CUSTOM_OBJECTS.add_maker(package, classes)
