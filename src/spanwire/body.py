"""The body of a response as the caller reads it: it ends the call, keeps the deadline, and is never read ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from inspect import isasyncgen
from typing import Any

import httpx

from .call import Call
from .kit import Kit
from .policies.timeout.policy import EARLY, exceeded
from .runtime.protocol import Runtime


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Wraps the wire's stream. A class and not generators: an async generator's finaliser would want a loop."""

    def __init__(self, stream: Any, call: Call, kit: Kit, io: Runtime, ended: Any) -> None:
        self._stream = stream
        self._call = call
        self._kit = kit
        self._io = io
        self._ended = ended
        self._chunks: AsyncIterator[bytes] | None = None

    # -- sync ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._check()
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            raise self._failure(error) from error.__cause__

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._ended(self, None)

    # -- async -----------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self._stream.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        if self._chunks is None:
            raise StopAsyncIteration
        left = self._call.remaining(self._kit.clock())
        try:
            if left <= 0:
                raise TimeoutError  # what is there already needs no waiting, and could not be cut
            with self._io.deadline(left):
                return await self._chunks.__anext__()
        except StopAsyncIteration:
            self._chunks = None
            raise
        except BaseException as error:
            raise self._failure(error) from error.__cause__

    async def aclose(self) -> None:
        try:
            await self._stop_reading()
        finally:
            try:
                await self._stream.aclose()
            finally:
                self._ended(self, None)

    async def _stop_reading(self) -> None:
        """A stream that is a generator wants to be closed by whoever stops early, unless another task is reading."""
        if isasyncgen(self._chunks) and not self._chunks.ag_running:
            await self._chunks.aclose()

    # -- both ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        deadline = self._call.deadline
        if deadline is not None and self._kit.clock() > deadline:
            raise TimeoutError

    def _failure(self, error: BaseException) -> BaseException:
        """What the caller sees of an error while reading, told as the end of the call."""
        timed_out = isinstance(error, (TimeoutError, httpx.TimeoutException))
        if timed_out and self._call.remaining(self._kit.clock()) <= EARLY:
            error = exceeded(self._call, self._kit)
        self._ended(self, error)
        return error
