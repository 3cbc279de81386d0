"""Where things are in JSON, by JMESPath: compiled once at the start, found in each message."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import jmespath
from jmespath.functions import Functions

from services.edge.errors import EdgeError
from services.messages import MessageError, appearance, brief, parse_json

__all__ = ["Path", "json_of"]

_FUNCTIONS: Final[dict[str, Any]] = Functions.FUNCTION_TABLE


class Path:
    """One path of an input's settings.

    Args:
        expression: In JMESPath.
        setting: What it is called in the settings, as `fields.time`.
        refuse: Makes the error that names the input.

    Raises:
        EdgeError: where it does not compile, or calls a function that JMESPath does not have.
    """

    def __init__(self, expression: str, setting: str, refuse: Callable[[str], EdgeError]) -> None:
        self.expression, self.setting = expression, setting
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of a syntax that JMESPath has given up
                compiled = jmespath.compile(expression)
            problem = next(filter(None, (_wrong_call(name, count) for name, count in _calls(compiled.parsed))), None)
        except Exception as error:  # beside its own errors, those of Python: of depth, of numbers, of literals
            problem = " ".join(str(error).split())[:200] or type(error).__name__
        if problem is not None:
            raise refuse(f"{setting} = {brief(expression)} is no JMESPath: {problem}")
        # A plain name is by far the most common, and needs no interpreter.
        self._field = compiled.parsed["value"] if compiled.parsed["type"] == "field" else None
        self._search = compiled.search

    def find(self, document: Any) -> Any:
        """What is there, None where nothing is. Raises MessageError (bad_field)."""
        if self._field is not None:
            return document.get(self._field) if isinstance(document, dict) else None
        try:
            return self._search(document)
        except Exception as error:  # functions fed with anything raise their errors, and those of Python
            reason = " ".join(str(error).split())[:150]
            raise MessageError("bad_field", f"{self.setting} = {self.expression!r}: {reason}") from None

    def __str__(self) -> str:
        return f"{self.setting} = {self.expression!r}"


def json_of(payload: bytes) -> Any:
    """The JSON in a payload, of UTF-8, UTF-16 or UTF-32. Raises MessageError (not_json, not_finite)."""
    try:
        return parse_json(payload)
    except MessageError as error:
        looks = appearance(payload)
        if error.reason != "not_json" or "like JSON" in looks:
            raise
        raise MessageError("not_json", f"{error.detail[:150]}; {looks}") from None


def _calls(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    children = [child for child in node.get("children", ()) if isinstance(child, dict)]
    if node["type"] == "function_expression":
        yield node["value"], len(children)
    for child in children:
        yield from _calls(child)


def _wrong_call(name: str, count: int) -> str | None:
    if name not in _FUNCTIONS:
        return f"there is no function {name}()"
    signature = _FUNCTIONS[name]["signature"]
    variadic = bool(signature) and signature[-1].get("variadic", False)
    if count < len(signature) or (count > len(signature) and not variadic):
        return f"{name}() takes {len(signature)}{' or more' if variadic else ''} arguments, here are {count}"
    return None
