"""The exceptions of the library below as httpx's: a table for each library, and one way of reading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import httpcore2
import httpx

Table = Mapping[type[Exception], type[httpx.TransportError]]

HTTPCORE2: Table = {
    httpcore2.TimeoutException: httpx.TimeoutException,
    httpcore2.ConnectTimeout: httpx.ConnectTimeout,
    httpcore2.ReadTimeout: httpx.ReadTimeout,
    httpcore2.WriteTimeout: httpx.WriteTimeout,
    httpcore2.PoolTimeout: httpx.PoolTimeout,
    httpcore2.NetworkError: httpx.NetworkError,
    httpcore2.ConnectError: httpx.ConnectError,
    httpcore2.ReadError: httpx.ReadError,
    httpcore2.WriteError: httpx.WriteError,
    httpcore2.ProxyError: httpx.ProxyError,
    httpcore2.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore2.ProtocolError: httpx.ProtocolError,
    httpcore2.LocalProtocolError: httpx.LocalProtocolError,
    httpcore2.RemoteProtocolError: httpx.RemoteProtocolError,
}


def reraise(error: BaseException, table: Table) -> NoReturn:
    """Raise httpx's namesake of an error, with its message, by the nearest of its classes; or the error as it is."""
    for kind in type(error).__mro__:
        if kind in table:
            raise table[kind](str(error)) from error
    if type(error).__module__ == "h2.exceptions":  # httpcore2 lets some of them through; h2 need not be installed
        raise httpx.RemoteProtocolError(str(error)) from error
    raise error
