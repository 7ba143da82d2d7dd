"""Cookies at the price of a look for them."""

from __future__ import annotations

import httpx


class Cookies(httpx.Cookies):
    """httpx's cookies, which look only at responses that set any, as httpx2's do.

    Else the look costs a quarter of a call.
    """

    def extract_cookies(self, response: httpx.Response) -> None:
        if "set-cookie" in response.headers or "set-cookie2" in response.headers:
            super().extract_cookies(response)
