"""What is served in place of a failure, and of which."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

import httpx
import pydantic

from ...call import FAILED_STATUS
from ...config import Part
from ..outcome import Outcome
from ..retry.config import ErrorClass, Status

_OF_THE_WIRE = frozenset({"content-length", "content-encoding", "transfer-encoding"})
"""Headers of a response that say how its body came, and are wrong of one that is there already."""


class FallbackResponse(Part):
    """A response to serve.

    Args:
        status: its status. Default 200.
        headers: its headers. Default none but those that the body asks for.
        content: its body, as text or bytes. Default empty.
        json: its body as JSON data, in place of `content`.

    Raises:
        ConfigurationError: if a value is impossible, or both `content` and `json` are given.
    """

    model_config = pydantic.ConfigDict(validate_by_name=True, validate_by_alias=True)

    status: Annotated[int, pydantic.Field(ge=200, le=599)] = 200
    headers: Mapping[str, str] = {}
    content: str | bytes = b""
    json_content: Any = pydantic.Field(default=None, alias="json")

    @pydantic.field_validator("json_content")
    @classmethod
    def _serializable(cls, data: Any) -> Any:
        try:
            json.dumps(data)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"it is no JSON data ({error}): give dicts, lists, texts, numbers, True, False, None"
            ) from None
        return data

    @pydantic.model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.content and self._is_json:
            raise ValueError("`content` and `json` are both given: leave one of them out")
        return self

    @property
    def _is_json(self) -> bool:
        return "json_content" in self.model_fields_set

    def made(self) -> httpx.Response:
        """A new response, for either colour of client."""
        if not self._is_json:
            return httpx.Response(self.status, headers=self.headers, content=self.content)
        headers = {"content-type": "application/json"} | {name.lower(): text for name, text in self.headers.items()}
        return httpx.Response(self.status, headers=headers, content=json.dumps(self.json_content))


def _plain(value: object) -> object:
    """An `httpx.Response` is taken over by its status, headers and body, since one object cannot be served twice."""
    if not isinstance(value, httpx.Response):
        return value
    try:
        headers = {name: text for name, text in value.headers.items() if name not in _OF_THE_WIRE}
        return FallbackResponse(status=value.status_code, headers=headers, content=value.content)
    except httpx.ResponseNotRead:
        raise ValueError(
            "its body is not read: give an httpx.Response that was made with `content=` or `json=`"
        ) from None


class Fallback(Part):
    """What is served in place of a failure that retries did not mend; every use is told.

    Args:
        response: the response to serve: its settings, a `FallbackResponse` or an `httpx.Response`.
        function: `function(request, outcome) -> httpx.Response`, plain or async: makes the response, or gives None to
            decline, and then `response` is served if there is one. An error in it ends the call with that error.
        on_status: the answers that it replaces. Default every 5xx, 408, 425 and 429: with which a call has failed.
        on_exception: the errors that it replaces. Default all that httpx raises on the way, refusals and the deadline
            included. In a file by their names in httpx.
        methods: the methods that it serves; None for all. Default None. Think of GET alone where a write that failed
            must not look as if it had succeeded.

    Raises:
        ConfigurationError: if there is nothing to serve, or a value is impossible.
    """

    response: Annotated[FallbackResponse | None, pydantic.BeforeValidator(_plain)] = None
    function: Callable[[httpx.Request, Outcome], Any] | None = None
    on_status: frozenset[Status] = FAILED_STATUS | frozenset(range(500, 600))
    on_exception: tuple[ErrorClass, ...] = (httpx.TransportError,)
    methods: frozenset[str] | None = None

    @pydantic.field_validator("methods")
    @classmethod
    def _upper(cls, methods: frozenset[str] | None) -> frozenset[str] | None:
        return methods and frozenset(method.upper() for method in methods)

    @pydantic.model_validator(mode="after")
    def _has_something(self) -> Self:
        if self.response is None and self.function is None:
            raise ValueError("there is nothing to serve: give a `response` or a `function`")
        return self
