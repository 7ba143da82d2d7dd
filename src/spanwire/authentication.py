"""Authentication flows as parts of the call that needs them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx

from .call import AUTH, CALL, Call

_PLAIN_AUTH = (httpx.BasicAuth, httpx.DigestAuth, httpx.NetRCAuth)
"""Authentication that sends no request but the caller's own."""


def sends_requests(auth: Any) -> bool:
    """Whether an authentication may send requests of its own, such as one for a token."""
    return isinstance(auth, httpx.Auth) and type(auth) not in _PLAIN_AUTH  # a subclass may do anything


class CallAuth(httpx.Auth):
    """Marks the requests of an authentication flow as part of the call that needs it."""

    def __init__(self, auth: httpx.Auth, call: Call) -> None:
        self._auth, self._call = auth, call

    def _marked(self, request: httpx.Request) -> httpx.Request:
        if request.extensions.get(CALL) is not self._call:
            request.extensions[CALL] = self._call
            request.extensions[AUTH] = True
        return request

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        flow = self._auth.sync_auth_flow(request)
        try:
            wanted = next(flow)
            while True:
                wanted = flow.send((yield self._marked(wanted)))
        except StopIteration:
            return
        finally:
            flow.close()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        flow = self._auth.async_auth_flow(request)
        try:
            wanted = await anext(flow)
            while True:
                wanted = await flow.asend((yield self._marked(wanted)))
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()
