import contextlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanwire.errors import ConfigurationError
from spanwire.policies import Connection, Exponential, Fibonacci, Linear, Policy, Retry, Timeout

SECRET = "sesame"


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def env(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SPANWIRE_")]:
        monkeypatch.delenv(name)

    def env(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"SPANWIRE_{name}", value)

    return env


# -- files ---------------------------------------------------------------------------------------------------------

WRITTEN = {
    "policy.yaml": """
retry:
  max_attempts: 7
  backoff: {kind: linear, base: 0.1}
circuit_breaker: off
timeout: {total: 60}
""",
    "policy.YML": """
{retry: {max_attempts: 7, backoff: {kind: linear, base: 0.1}}, circuit_breaker: ~, timeout: {total: 60}}
""",
    "policy.toml": """
circuit_breaker = false
[retry]
max_attempts = 7
backoff = {kind = 'linear', base = 0.1}
[timeout]
total = 60
""",
    "policy.json": """
{
  "retry": {"max_attempts": 7, "backoff": {"kind": "linear", "base": 0.1}},
  "circuit_breaker": null,
  "timeout": {"total": 60}
}
""",
}
MEANT = Policy(retry=Retry(max_attempts=7, backoff=Linear(base=0.1)), circuit_breaker=None, timeout=Timeout(total=60))


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_policy_in_every_format(write, name):
    assert Policy.from_file(write(name, WRITTEN[name])) == MEANT
    assert Policy.from_file(str(write(name, WRITTEN[name]))).hash == MEANT.hash


def test_a_dictionary_is_as_good_as_a_file():
    assert Policy.from_dict(json.loads(WRITTEN["policy.json"])) == MEANT
    with pytest.raises(
        ConfigurationError, match="Policy from the database: `rety` is not a setting: did you mean `retry`"
    ):
        Policy.from_dict({"rety": {}}, source="the database")


def test_a_byte_order_mark_and_yaml_merges_are_read():
    from spanwire.loading import parsed

    assert parsed(b'\xef\xbb\xbf{"retry": {}}', "a.json") == {"retry": {}}
    assert parsed(b"timeout: {<<: {total: 4}, read: 1}", "a.yaml") == {"timeout": {"total": 4, "read": 1}}


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.yaml", "retry:\n  max_attempts: 7\n  max_attempts: 8\n", ["line 3", "`max_attempts` stands twice"]),
        ("a.yaml", "retry: [\n", ["line 2", "expected the node content"]),
        ("a.yaml", "retry:\n\tmax: 3\n", ["line 2", "cannot start any token"]),
        ("a.yaml", "retry: !!python/object:os.system {}\n", ["line 1", "could not determine a constructor"]),
        ("a.yaml", "? [1]\n: 3\n", ["unhashable"]),
        ("a.yaml", "retry: 2001-99-99\n", ["month must be in", "quotes"]),
        ("a.yaml", "retry: \x00", ["no YAML"]),
        ("a.yaml", "- 1\n", ["holds a list", "mapping"]),
        ("a.yaml", "", ["is empty"]),
        ("a.yaml", "# nothing\n", ["is empty"]),
        ("a.yaml", "[" * 1000, ["nested too deeply"]),
        ("a.yaml", b"\xff\xfe", ["not UTF-8 at byte 0"]),
        ("a.yaml", "1: 2\n", ["keys should be strings"]),
        ("a.yaml", "retry: {max_attempts: lots}\n", ["retry.max_attempts", "'lots'", "integer"]),
        ("a.yaml", "rety: {}\n", ["`rety`", "did you mean `retry`"]),
        ("a.yaml", "retry:\n  backoff: {bas: 1}\n", ["`retry.backoff.bas`", "did you mean `base`"]),
        ("a.yaml", "timeout: {total: .nan}\n", ["timeout.total", "finite"]),
        ("a.toml", "[retry\nmax_attempts=1", ["line 1", "expected ']'"]),
        ("a.toml", "", ["is empty"]),
        ("a.toml", "retry = ", ["invalid value"]),
        ("a.toml", "[retry]\nmax_attempts = 1\nmax_attempts = 2\n", ["overwrite"]),
        ("a.json", '{"retry": {"max_attempts": 7,}}', ["line 1", "property name"]),
        ("a.json", '{"retry": 1, "retry": 2}', ["`retry` stands twice"]),
        ("a.json", " ", ["is empty"]),
        ("a.json", "[1]", ["holds a list"]),
        ("a.txt", "x", ["suffix '.txt'", ".yaml, .yml, .toml, .json"]),
        ("policy", "x", ["suffix ''"]),
    ],
)
def test_every_mistake_names_the_file_the_field_the_value_and_the_remedy(write, name, content, named):
    path = write(name, content)
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(path)
    assert all(part in str(caught.value) for part in [str(path), *named]), str(caught.value)


def test_all_mistakes_are_told_at_once(write):
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(write("a.yaml", "retry: {max_attempts: 0}\ntimeout: {total: -1, raed: 3}\n"))
    assert len(str(caught.value).splitlines()) == 4


def test_a_missing_and_an_unreadable_file_say_so(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none.yaml' cannot be read \(No such file or directory\)"):
        Policy.from_file(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigurationError, match="Is a directory"):
        Policy.from_file(tmp_path / "folder.yaml")


@pytest.mark.parametrize(
    "content",
    [
        f"connection: {{proxy: 'http://user:{SECRET}@:99999'}}\n",
        f"connection: 'http://user:{SECRET}@proxy'\n",
        f"connection: {{proxy: 'http://user:{SECRET}@proxy', max_connections: 0}}\n",
        f"connection: {{proxy: 'http://user:{SECRET}@proxy'\n",
        f"connection: [{{proxy: 'http://user:{SECRET}@proxy'}}]\n",
    ],
)
def test_a_secret_in_a_file_is_never_shown(write, content):
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(write("a.yaml", content))
    assert SECRET not in str(caught.value)


@given(st.text(max_size=200), st.sampled_from(["a.yaml", "a.toml", "a.json"]))
def test_whatever_a_file_holds_it_is_a_policy_or_a_configuration_error(text, name):
    from spanwire.loading import built, parsed

    with contextlib.suppress(ConfigurationError):
        built(Policy, parsed(text.encode("utf-8", "replace"), name), name)


# -- the environment -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "meant"),
    [
        ({}, Policy()),
        ({"RETRY__MAX_ATTEMPTS": "9"}, Policy(retry=Retry(max_attempts=9))),
        ({"retry__max_attempts": "9"}, Policy(retry=Retry(max_attempts=9))),
        ({"RETRY__MAX_ATTEMPTS": ""}, Policy()),
        ({"RETRY": "off"}, Policy(retry=None)),
        ({"RETRY": "None"}, Policy(retry=None)),
        ({"RETRY": "null"}, Policy(retry=None)),
        ({"RETRY": "false", "CIRCUIT_BREAKER": "on"}, Policy(retry=None)),
        (
            {"RETRY": '{"max_attempts": 4}', "RETRY__MAX_RETRY_AFTER": "5"},
            Policy(retry=Retry(max_attempts=4, max_retry_after=5)),
        ),
        ({"RETRY__ON_STATUS": "500, 503"}, Policy(retry=Retry(on_status=[500, 503]))),
        ({"RETRY__ON_STATUS": "[500, 503]"}, Policy(retry=Retry(on_status=[500, 503]))),
        ({"RETRY__ON_STATUS": "503"}, Policy(retry=Retry(on_status=[503]))),
        ({"RETRY__ON_EXCEPTION": "ReadTimeout"}, Policy(retry=Retry(on_exception=["ReadTimeout"]))),
        ({"RETRY__BACKOFF": "fibonacci"}, Policy(retry=Retry(backoff=Fibonacci()))),
        ({"RETRY__BACKOFF__BASE": "0.5"}, Policy(retry=Retry(backoff=Exponential(base=0.5)))),
        (
            {"RETRY__BACKOFF__KIND": "linear", "RETRY__BACKOFF__JITTER": "none"},
            Policy(retry=Retry(backoff=Linear(jitter="none"))),
        ),
        ({"RETRY__BUDGET": "off"}, Policy(retry=Retry(budget=None))),
        ({"RETRY__BUDGET__CAPACITY": "50"}, Policy(retry=Retry(budget={"capacity": 50}))),
        ({"TIMEOUT__TOTAL": "off", "TIMEOUT__ATTEMPT": "null"}, Policy(timeout=Timeout(total=None, attempt=None))),
        (
            {"TIMEOUT__PROPAGATE": "X-D", "TIMEOUT__PROPAGATE_TO": "a, b"},
            Policy(timeout=Timeout(propagate="X-D", propagate_to=["a", "b"])),
        ),
        ({"CONNECTION__PROXY": "http://u:p@h:1"}, Policy(connection=Connection(proxy="http://u:p@h:1"))),
        ({"FALLBACK__RESPONSE__HEADERS__X": "1"}, Policy(fallback={"response": {"headers": {"x": "1"}}})),
        (
            {"LOG": "debug", "EVENTS": "span", "SHOW_QUERY": "*", "REQUIRE_COMPONENTS": "1", "POLICY_FILE": "p"},
            Policy(),
        ),
        ({"DEMO_PORT": "1"}, Policy()),
    ],
    ids=str,
)
def test_variables_say_what_a_file_would(env, variables, meant):
    env(**variables)
    assert Policy.from_env() == meant


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"RETRY__MAX_ATTEMPTS": "many"}, ["SPANWIRE_RETRY__MAX_ATTEMPTS", "`retry.max_attempts` = 'many'"]),
        ({"RETRY__MAX_ATEMPTS": "1"}, ["(SPANWIRE_RETRY__MAX_ATEMPTS)", "did you mean `max_attempts`"]),
        ({"RETRY__MAX_ATTEMPTS__MORE": "1"}, ["(SPANWIRE_RETRY__MAX_ATTEMPTS__MORE)", "`retry.max_attempts` = {more}"]),
        ({"RETRY_MAX_ATTEMPTS": "1"}, ["did you mean `SPANWIRE_RETRY__MAX_ATTEMPTS`"]),
        ({"MAX_ATTEMPTS": "1"}, ["did you mean `SPANWIRE_RETRY__MAX_ATTEMPTS`"]),
        ({"RETY": "off"}, ["did you mean `SPANWIRE_RETRY`"]),
        ({"FOO__BAR": "7"}, ["`SPANWIRE_FOO__BAR`", "the parts of a policy are timeout, retry"]),
        ({"RETRY__FROB": "7"}, ["(SPANWIRE_RETRY__FROB)", "`retry.frob` is not a setting"]),
        ({"RETRY": '{"max_attempts": '}, ["`retry`", "no JSON"]),
        ({"RETRY": "7"}, ["SPANWIRE_RETRY", "`retry` = '7'"]),
        ({"RETRY": '{"max_attempts": "x"}'}, ["(SPANWIRE_RETRY)", "`retry.max_attempts`"]),
        (
            {"RETRY": "off", "RETRY__MAX_ATTEMPTS": "3"},
            ["`SPANWIRE_RETRY` contradicts `SPANWIRE_RETRY__MAX_ATTEMPTS`"],
        ),
        ({"CONNECTION": "off"}, ["`connection`", "cannot be switched off"]),
        ({"CIRCUIT_BREAKER__FAILURE_RATIO": "7"}, ["SPANWIRE_CIRCUIT_BREAKER__FAILURE_RATIO", "'7'"]),
    ],
    ids=str,
)
def test_a_variable_that_is_impossible_or_misspelt_names_itself(env, variables, named):
    env(**variables)
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_env()
    assert all(part in str(caught.value) for part in named), str(caught.value)


def test_a_secret_in_a_variable_is_never_shown(env):
    for value in (f"ftp://u:{SECRET}@h", f"http://u:{SECRET}@"):
        env(CONNECTION__PROXY=value)
        with pytest.raises(ConfigurationError, match="SPANWIRE_CONNECTION__PROXY") as caught:
            Policy.from_env()
        assert SECRET not in str(caught.value)


def test_another_prefix_has_variables_of_its_own(env, monkeypatch):
    env(RETRY__MAX_ATTEMPTS="9")
    monkeypatch.setenv("BILLING_RETRY__MAX_ATTEMPTS", "2")
    assert Policy.from_env(prefix="BILLING_").retry.max_attempts == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=40))
def test_whatever_a_variable_holds_it_is_a_policy_or_a_configuration_error(monkeypatch, text):
    monkeypatch.setenv("PROBE_RETRY", text)
    with contextlib.suppress(ConfigurationError):
        Policy.from_env(prefix="PROBE_")


def test_a_policy_can_be_written_to_a_file_and_read_again(write):
    policy = Policy(retry=Retry(max_attempts=7, on_exception=["ReadTimeout"]), timeout=Timeout(total=None))
    without = {"connection": {"proxy"}, "retry": {"should_retry", "on_retry"}}
    assert Policy.from_file(write("policy.json", policy.model_dump_json(exclude=without))) == policy


# -- the schema ----------------------------------------------------------------------------------------------------


def test_the_schema_describes_what_a_file_can_say():
    schema = Policy.json_schema()
    retry = schema["$defs"]["Retry"]["properties"]
    assert retry["max_attempts"] == {"default": 3, "minimum": 1, "title": "Max Attempts", "type": "integer"}
    assert {"enum": [True, False, "on", "off"]} in schema["properties"]["circuit_breaker"]["anyOf"]
    assert {"$ref": "#/$defs/Linear"} in retry["backoff"]["anyOf"]
    assert {"enum": ["exponential", "decorrelated", "linear", "fibonacci", "fixed"], "type": "string"} in retry[
        "backoff"
    ]["anyOf"]
    assert schema["additionalProperties"] is False
    assert retry["on_exception"]["default"] == ["TimeoutException", "NetworkError", "RemoteProtocolError"]
    assert schema["properties"]["retry"]["default"] == {}, "its own defaults"
    json.dumps(schema)


def test_the_schema_leaves_out_what_only_code_can_give():
    schema = Policy.json_schema()
    assert "Custom" not in schema["$defs"]
    for part, name in [
        ("Retry", "should_retry"),
        ("Retry", "on_retry"),
        ("Fallback", "function"),
        ("CircuitBreaker", "is_failure"),
    ]:
        assert name not in schema["$defs"][part]["properties"]


# -- a file that is watched ----------------------------------------------------------------------------------------


@pytest.fixture
def watched(write):
    return Policy.watch(write("policy.yaml", "retry: {max_attempts: 4}\n"))


def test_a_watched_file_is_loaded_at_once(watched):
    assert watched.policy.retry.max_attempts == 4
    assert watched.poll() is None
    assert repr(watched) == f"<Watch '{watched.path}' policy {watched.policy.hash}>"


def test_a_change_is_noticed_once(watched, write):
    write("policy.yaml", "retry: {max_attempts: 5}\n")
    found = watched.poll()
    assert found.retry.max_attempts == 5
    assert watched.policy is found
    assert watched.poll() is None


def test_the_content_counts_and_not_the_time_of_the_change(watched, write):
    before = watched.path.stat()
    write("policy.yaml", "retry: {max_attempts: 5}\n")
    os.utime(watched.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.poll() is not None
    watched.path.touch()
    assert watched.poll() is None


def test_a_change_that_means_the_same_is_none(watched, write):
    write("policy.yaml", "# four\nretry:\n  max_attempts: 4\n")
    assert watched.poll() is None


@pytest.mark.parametrize("broken", ["retry: {max_attempts: 0}\n", "retry: [", "", None])
def test_an_impossible_file_keeps_the_policy_and_is_told_once(watched, write, broken):
    kept = watched.policy
    watched.path.unlink() if broken is None else write("policy.yaml", broken)
    error = watched.poll()
    assert isinstance(error, ConfigurationError)
    assert str(watched.path) in str(error)
    assert watched.policy is kept
    assert watched.error is error
    assert watched.poll() is None, "it was told already"
    assert "impossible now" in repr(watched)


def test_a_file_that_is_mended_is_told_even_if_it_is_as_before(watched, write):
    write("policy.yaml", "retry: [")
    watched.poll()
    write("policy.yaml", "retry: {max_attempts: 4}\n")
    assert watched.poll() == watched.policy
    assert watched.error is None


def test_what_is_impossible_from_the_start_cannot_be_watched(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Policy.watch(tmp_path / "none.yaml")


@pytest.mark.parametrize("interval", [0, -1, float("inf"), float("nan")])
def test_the_interval_is_a_time(watched, interval):
    assert Policy.watch(watched.path).interval == 5
    with pytest.raises(ConfigurationError, match="`interval`"):
        Policy.watch(watched.path, interval=interval)
