"""The same stories when `httpx` means httpx2; that must be said before anything imports it, so in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

STORIES = ["test_exceptions.py", "test_proxies.py", "test_unsent.py", "test_wires.py", "test_slots.py"]
PROGRAM = """
import sys, httpx2
httpx2.alias_httpx()
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.skipif(httpx.__name__ == "httpx2", reason="this is that process")
def test_all_holds_under_httpx2() -> None:
    here = Path(__file__).parent
    chosen = [str(here / story) for story in STORIES]
    # What is imported already cannot be rewritten; the stories left out are long, and the pool in them is not httpx2's.
    options = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-k", "not no_slot_is_lost"]
    command = [sys.executable, "-c", PROGRAM, *options, *chosen]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=here.parents[1], timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
