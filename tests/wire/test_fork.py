"""A child process does not write on its parent's connections."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.origins import Server

HERE = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("colour", ["sync", "asyncio", "aiohttp"])
def test_a_forked_child_makes_its_own_connection_and_leaves_the_parents_alone(colour: str, origin: Server) -> None:
    command = [sys.executable, "-m", "tests.wire.forking", colour, origin.url]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=HERE, timeout=30, check=False)
    assert (ended.stderr, ended.stdout) == ("", "parent (0, 0) 200\nchild (0, 0) 200\nparent (0, 1) 200\n")
    assert origin.accepted == 2
