"""The pool, TLS, the proxy and the wire: what a client is made of, where httpx's own arguments do not say otherwise."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import httpx
import pydantic

from ..config import Part
from ..errors import ConfigurationError
from ..redact import redacted

SCHEMES = ("http", "https", "socks5", "socks5h")


class ProxyURL(pydantic.Secret[str]):
    """The URL of a proxy; shown without its credentials, whole only by `get_secret_value()`."""

    def _display(self) -> str:
        return redacted(self.get_secret_value())


def _proxy(value: object) -> ProxyURL | None:
    """Check a proxy's URL; what is wrong is told without showing it, since it may hold a password."""
    if value is None or isinstance(value, ProxyURL):
        return value
    if not isinstance(value, str | httpx.URL):
        raise ValueError(f"a {type(value).__name__} is not a URL: give one such as 'http://proxy.internal:3128'")
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        raise ValueError("it is not a URL: give one such as 'http://proxy.internal:3128'") from None
    if url.scheme not in SCHEMES or not url.host or not 0 < (url.port or 1) < 65536:
        raise ValueError(
            f"it has no host, an impossible port or a scheme other than {', '.join(SCHEMES)}: "
            "give one such as 'http://proxy.internal:3128'"
        )
    return ProxyURL(str(value))


class Connection(Part):
    """How a client connects. It belongs to the client: neither `override` nor `reload` changes it.

    Args:
        max_connections: connections at once; None for no limit. Default 100.
        max_keepalive_connections: idle connections that are kept; None for no limit. Default 20.
        keepalive_expiry: seconds that an idle connection is kept; None for ever. Default 5.
        http2: whether HTTP/2 is offered; needs the extra `spanwire[http2]`. Default False.
        verify: whether the origin's certificate is verified. Default True.
        ca_file: a PEM file of the certificate authorities to trust, in place of the default ones.
        cert_file: a PEM file with the client's certificate, and its key unless `key_file` has that.
        key_file: a PEM file with the client's private key.
        proxy: the URL of a proxy (http, https, socks5, socks5h); its credentials are never shown.
        wire: "httpcore2" (default), "httpx" or "aiohttp" (asyncio only; extra `spanwire[aiohttp]`).

    Raises:
        ConfigurationError: if a value is impossible, or settings contradict one another.
    """

    max_connections: Annotated[int | None, pydantic.Field(ge=1)] = 100
    max_keepalive_connections: Annotated[int | None, pydantic.Field(ge=0)] = 20
    keepalive_expiry: Annotated[float | None, pydantic.Field(ge=0)] = 5.0
    http2: bool = False
    verify: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    proxy: Annotated[ProxyURL | None, pydantic.PlainValidator(_proxy, json_schema_input_type=str | None)] = None
    wire: Literal["httpcore2", "httpx", "aiohttp"] = "httpcore2"

    @pydantic.model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError(
                "`key_file` is of no use without `cert_file`: give the certificate that the key belongs to"
            )
        if self.ca_file is not None and not self.verify:
            raise ValueError("`ca_file` is of no use with `verify` = False: leave one of them out")
        return self

    def client_arguments(self) -> dict[str, Any]:
        """What the constructors of `httpx.Client` and `httpx.AsyncClient` take: limits, http2, verify, proxy.

        A client certificate is loaded into the TLS context of `verify`, since httpx deprecates `cert=`.

        Raises:
            ConfigurationError: if one of the files cannot be read or is not what it should be.
        """
        limits = httpx.Limits(
            max_connections=self.max_connections,
            max_keepalive_connections=self.max_keepalive_connections,
            keepalive_expiry=self.keepalive_expiry,
        )
        proxy = {} if self.proxy is None else {"proxy": self.proxy.get_secret_value()}
        return {"limits": limits, "http2": self.http2, "verify": self._tls(), **proxy}

    def transport_arguments(self) -> dict[str, Any]:
        """What `httpx.HTTPTransport` and the wires take: the same four."""
        return self.client_arguments()

    def _tls(self) -> ssl.SSLContext | bool:
        """The TLS settings: httpx's own by True or False, a context where files are named."""
        if self.ca_file is None and self.cert_file is None:
            return self.verify
        context = httpx.create_ssl_context(verify=self.verify) if self.ca_file is None else self._trusting(self.ca_file)
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, _encrypted)
            except OSError as error:
                raise _unusable(
                    "cert_file", self.cert_file, "a PEM certificate with its key, or with it in `key_file`", error
                ) from None
        return context

    def _trusting(self, ca_file: Path) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise _unusable("ca_file", ca_file, "PEM certificates", error) from None


def _encrypted() -> str:
    """Asked for a password by OpenSSL, which without this would ask at the terminal."""
    raise ConfigurationError(
        "Connection: the client's key is encrypted: decrypt it, or give `cert=(file, key, password)` to the client"
    )


def _unusable(field: str, path: Path, wanted: str, error: OSError) -> ConfigurationError:
    why = error.strerror or "not in that form"
    return ConfigurationError(
        f"Connection: `{field}` = '{path}' cannot be used ({why}): name a file that can be read and has {wanted}"
    )
