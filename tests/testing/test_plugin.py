"""The plugin in a user's suite: cheap to load, found by its fixtures' names, clear about what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spanwire import testing

SUITE = """
import spanwire

def test_a_throttled_call_is_tried_again(spanwire_origin, spanwire_clock, spanwire_recorder, spanwire_telemetry):
    spanwire_origin.script(503, 200)
    tools = dict(clock=spanwire_clock, listeners=[spanwire_recorder], **spanwire_telemetry.providers)
    with spanwire.Client(**tools) as client:
        assert client.get(spanwire_origin.url).status_code == 200
    assert spanwire_recorder.attempts == ["attempt 1 503", "attempt 2 200"]
    assert len(spanwire_clock.sleeps) == 1
    assert spanwire_telemetry.tree()[0] == "call GET success"

def test_time_flies(spanwire_virtual_time):
    async def story():
        import trio
        await trio.sleep(100)
        return spanwire_virtual_time.clock()
    assert spanwire_virtual_time.run(story) == 100
"""
MISSING = """
import sys
import pytest

@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("capture", "virtual"):
        monkeypatch.delitem(sys.modules, f"spanwire.testing.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk._logs", None)
    monkeypatch.setitem(sys.modules, "trio", None)

def test_that_needs_the_sdk(spanwire_telemetry): ...
def test_that_needs_trio(spanwire_virtual_time): ...
"""
CHEAP = """
import sys, pytest
before = set(sys.modules)
import _spanwire_pytest
print(sorted(set(sys.modules) - before))
"""


def test_a_user_s_suite_has_the_fixtures_and_is_told_what_to_install_for_others(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_suite_without_extras.py").write_text(MISSING)
    plugin = ["-p", "no:spanwire", "-p", "_spanwire_pytest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-W", "error", "-m", "pytest", "-rs", *plugin, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    assert "2 passed, 2 skipped" in said, said
    assert "captured telemetry needs `opentelemetry.sdk._logs`: install spanwire[otlp]" in said
    assert "virtual time needs `trio`: install spanwire[testing]" in said


def test_loading_the_plugin_imports_nothing_but_itself() -> None:
    ended = subprocess.run([sys.executable, "-c", CHEAP], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout.strip() == "['_spanwire_pytest']"


def test_the_public_names_are_all_there_and_no_others() -> None:
    assert dir(testing) == testing.__all__ == sorted(testing.__all__)
    for name in testing.__all__:
        assert getattr(testing, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = testing.Nothing
