import httpx
import pytest

from spanwire.errors import ConfigurationError
from spanwire.policies.timeout.config import Timeout


def figures(timeout):
    return {name: value for name, value in timeout.model_dump().items() if not name.startswith("propagate")}


def test_the_defaults_are_the_documented_ones():
    assert figures(Timeout()) == {"total": 30, "attempt": 10, "connect": 5, "read": 10, "write": 5, "pool": 2}


@pytest.mark.parametrize(
    ("preset", "connect", "read", "write", "total"),
    [(Timeout.fast, 2, 5, 5, 10), (Timeout.upload, 10, 30, 300, 600), (Timeout.long_running, 5, 120, 30, 180)],
)
def test_the_presets_are_the_documented_ones(preset, connect, read, write, total):
    assert figures(preset()) == {
        "connect": connect,
        "read": read,
        "write": write,
        "total": total,
        "pool": 2,
        "attempt": None,
    }


def test_its_phases_are_what_httpx_takes():
    assert httpx.Timeout(**Timeout(read=None).phases()) == httpx.Timeout(connect=5, read=None, write=5, pool=2)


@pytest.mark.parametrize("off", [None, "off", "None", " null "])
def test_any_limit_can_be_switched_off(off):
    assert Timeout(total=off, attempt=off, connect=off, read=off, write=off, pool=off).phases() == dict.fromkeys(
        ("connect", "read", "write", "pool")
    )


def test_a_short_total_needs_no_shorter_attempt_which_is_cut_anyway():
    assert Timeout(total=0.5).attempt == 10


def test_an_attempt_longer_than_the_total_is_refused_if_it_was_chosen():
    with pytest.raises(
        ConfigurationError, match="`attempt` = 60 is longer than `total` = 30: lower `attempt`, or raise `total`"
    ):
        Timeout(attempt=60)
    assert Timeout(attempt=60, total=None).attempt == 60


@pytest.mark.parametrize(
    ("value", "shown"), [(-1, "-1"), (0, "0"), ("soon", "soon"), (float("inf"), "inf"), (float("nan"), "nan")]
)
def test_an_impossible_limit_names_itself_and_its_value(value, shown):
    with pytest.raises(ConfigurationError) as caught:
        Timeout(total=value)
    assert "`total`" in str(caught.value)
    assert shown in str(caught.value)


def test_a_deadline_is_told_to_named_hosts_only():
    timeout = Timeout(propagate="X-Request-Deadline", propagate_attempt="X-Attempt", propagate_to=["A.internal"])
    assert timeout.propagate_to == ("a.internal",)
    with pytest.raises(ConfigurationError, match="propagate_to"):
        Timeout(propagate="X-Request-Deadline")
    with pytest.raises(ConfigurationError, match="propagate_to"):
        Timeout(propagate_attempt="X-Attempt")


@pytest.mark.parametrize("host", ["http://a", "a:80", "user@a", "a/b", ""])
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ConfigurationError, match="is not a host"):
        Timeout(propagate="X-Deadline", propagate_to=[host])


def test_what_is_no_header_name_is_refused():
    with pytest.raises(ConfigurationError, match="propagate"):
        Timeout(propagate="X Deadline:", propagate_to=["a"])
