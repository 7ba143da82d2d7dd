"""On the path of the processes that tests start under `SPANWIRE_TEST_HTTPX2`: there too, `httpx` means httpx2."""

import httpx2

httpx2.alias_httpx()
