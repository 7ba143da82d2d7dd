"""The real programs that tests drive, such as Prometheus: found, or the test says what to install."""

import os
import shutil

import pytest


def require(program: str, package: str) -> str:
    """The path of `program`; without it the test is skipped, naming the Debian `package` that has it.

    With `SPANWIRE_REQUIRE_COMPONENTS` set, as CI sets it, a missing program fails the test instead.
    """
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"{program} is not installed: apt-get install {package}"
    if os.environ.get("SPANWIRE_REQUIRE_COMPONENTS"):
        pytest.fail(f"{reason} (SPANWIRE_REQUIRE_COMPONENTS is set)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
