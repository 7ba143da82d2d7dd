"""The fixtures of `support`, for the integration stories."""

import pytest

pytest.register_assert_rewrite("tests.integration.support")

from tests.integration.support import driver, nobody, site, sites, twins  # noqa: E402

__all__ = ["driver", "nobody", "site", "sites", "twins"]
