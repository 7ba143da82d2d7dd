"""An SDK that takes `http_client=`, as OpenAI's, Anthropic's and many others do: give it a spanwire client.

`Acme` stands for such an SDK; nothing in it knows spanwire. Two things to mind: its own retries are switched off, or
each of its attempts would be retried by ours, and spanwire's total time holds for each call of the SDK.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx

import spanwire
from spanwire import Policy, Retry, Timeout


class Acme:
    """A client for the Acme API, as its vendor ships it."""

    def __init__(
        self, api_key: str, *, base_url: str, http_client: httpx.Client | None = None, max_retries: int = 2
    ) -> None:
        self._http = http_client or httpx.Client(timeout=600)
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._url, self._max_retries = f"{base_url}/v1/completions", max_retries

    def complete(self, prompt: str) -> str:
        """The answer to a prompt."""
        for left in range(self._max_retries, -1, -1):
            response = self._http.post(self._url, json={"prompt": prompt}, headers=self._headers)
            if response.status_code < 500 or not left:
                break
        response.raise_for_status()
        text: str = response.json()["text"]
        return text

    def stream(self, prompt: str) -> Iterator[str]:
        """The answer in pieces, as they come."""
        asked = {"prompt": prompt, "stream": True}
        with self._http.stream("POST", self._url, json=asked, headers=self._headers) as response:
            response.raise_for_status()
            yield from response.iter_text()

    def close(self) -> None:
        self._http.close()


POLICY = Policy(
    # Completions take long, so the limits are longer than the default ones.
    timeout=Timeout.long_running(),
    # A POST is repeated only with a key. This API knows the header, so each request gets a key of its own.
    retry=Retry(max_attempts=4, generate_idempotency_key=True),
)


def acme(base_url: str, api_key: str) -> Acme:
    """The SDK on a spanwire client."""
    client = spanwire.Client(name="acme", policy=POLICY)
    return Acme(api_key, base_url=base_url, http_client=client, max_retries=0)
