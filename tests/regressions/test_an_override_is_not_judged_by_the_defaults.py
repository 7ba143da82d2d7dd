"""`override(retry=...)` is of the client's timeout, whatever the default one is."""

from __future__ import annotations

import pytest

from spanwire import ConfigurationError, Fixed, Retry, override


def test_more_attempts_than_fit_into_the_default_total_warn_of_nothing() -> None:
    override(retry=Retry(max_attempts=10, backoff=Fixed(seconds=10)))


def test_a_route_that_would_break_a_line_of_the_log_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="`route`"):
        override(route="/x\nERROR forged")
