import os
import pickle
import ssl
import subprocess
import sys
import warnings

import httpx
import pytest

from spanwire.errors import ConfigurationError
from spanwire.kit import Layer
from spanwire.policies import (
    CHAIN,
    CircuitBreaker,
    Connection,
    Custom,
    Exponential,
    Fallback,
    Fixed,
    Handles,
    Policy,
    PolicyWarning,
    Retry,
    Step,
    Timeout,
)
from spanwire.policies.circuit_breaker.policy import CircuitBreaking
from spanwire.policies.connection import ProxyURL
from spanwire.policies.decisions import ConfigLoaded, ConfigRejected

SECRET = "sesame"
PROXY = f"http://user:{SECRET}@proxy.internal:3128"


# -- the parts -----------------------------------------------------------------------------------------------------


def test_without_arguments_it_is_safe_to_ship():
    policy = Policy()
    assert (policy.timeout, policy.retry, policy.circuit_breaker) == (Timeout(), Retry(), CircuitBreaker())
    assert (policy.fallback, policy.connection) == (None, Connection())


@pytest.mark.parametrize("off", [None, False, "off", " OFF ", "none", "null", "false"])
def test_a_part_is_switched_off_by_none_and_by_the_words_of_files(off):
    assert Policy(retry=off, timeout=off, circuit_breaker=off).retry is None


@pytest.mark.parametrize("on", [True, "on", "True", {}])
def test_a_part_is_switched_on_with_its_defaults(on):
    assert Policy(retry=on).retry == Retry()


def test_zero_switches_nothing_off():
    with pytest.raises(ConfigurationError, match="`retry` = 0 is impossible"):
        Policy(retry=0)


def test_the_connection_cannot_be_switched_off():
    with pytest.raises(ConfigurationError, match="`connection`: it cannot be switched off"):
        Policy(connection=False)


def test_an_error_names_the_whole_path_to_what_is_wrong():
    with pytest.raises(ConfigurationError) as caught:
        Policy(retry={"max_atempts": 3, "backoff": {"kind": "linear", "base": -1}})
    assert str(caught.value).splitlines() == [
        "Policy: 2 mistakes",
        "`retry.backoff.base` = -1 is impossible: it should be greater than 0",
        "`retry.max_atempts` is not a setting: did you mean `max_attempts`?",
    ]


def test_it_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Policy().retry = None


def test_it_survives_pickling():
    policy = Policy(retry=Retry(max_attempts=7), connection=Connection(proxy=PROXY))
    again = pickle.loads(pickle.dumps(policy))
    assert again == policy
    assert again.hash == policy.hash


def test_the_production_figures_are_those_of_the_guide():
    policy = Policy.production()
    assert policy.timeout.phases() == {"connect": 5, "read": 10, "write": 5, "pool": 2}
    assert policy.connection.client_arguments()["limits"] == httpx.Limits(
        max_connections=50, max_keepalive_connections=20, keepalive_expiry=30
    )
    assert policy.retry.max_attempts == 5
    assert {408, 429, 500, 502, 503, 504} <= policy.retry.on_status
    assert "POST" not in policy.retry.idempotent_methods
    assert [policy.retry.backoff.bound(attempt) for attempt in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert Policy.production(retry=None).retry is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Policy.production()


def test_a_missing_setting_a_long_value_and_a_mapping_are_told_in_few_words():
    with pytest.raises(ConfigurationError, match="`function` is missing"):
        Custom()
    with pytest.raises(ConfigurationError, match=r"`total` = 'x{56}\.\.\. is impossible"):
        Timeout(total="x" * 100)
    with pytest.raises(ConfigurationError, match=r"`total` = \{a\} is impossible"):
        Timeout(total={"a": SECRET})


# -- the chain -----------------------------------------------------------------------------------------------------


def test_the_chain_is_in_its_fixed_order():
    assert [(step.field, step.layer.__name__) for step in CHAIN] == [
        ("fallback", "Fallbacks"),
        ("timeout", "TotalDeadline"),
        ("retry", "Retrying"),
        ("circuit_breaker", "CircuitBreaking"),
        ("timeout", "AttemptDeadline"),
    ]


def test_every_step_is_a_layer_that_a_field_configures():
    for step in CHAIN:
        assert issubclass(step.layer, Layer)
        assert step.field in Policy.model_fields


def test_a_client_shows_the_handles_of_its_layers_or_nothing():
    class Breaking(CircuitBreaking):
        def __init__(self):
            """Without a kit."""

        def handle(self):
            return {"https://a": "a breaker"}

    class Client(Handles):
        def __init__(self, layers):
            self._layers = layers

        def _pipeline_layers(self):
            return self._layers

    assert Client({Step("circuit_breaker", Breaking): Breaking()}).circuit_breakers == {"https://a": "a breaker"}
    assert dict(Client({}).circuit_breakers) == {}
    with pytest.raises(NotImplementedError):
        _ = Handles().circuit_breakers


# -- what it says of itself ----------------------------------------------------------------------------------------


def waiting(attempt):
    return 1.0


def hook(attempt, outcome, delay):
    """A function that a policy names."""


HASHED = """
from tests.test_policy import hook, waiting
from spanwire.policies import *
retry = Retry(on_retry=hook, backoff=Custom(function=waiting))
print(Policy(retry=retry, fallback=Fallback(response={"json": {"a": [1]}})).hash)
"""


def test_the_hash_is_the_same_in_every_process():
    told = set()
    for seed in ("1", "2", "3"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run([sys.executable, "-c", HASHED], env=env, capture_output=True, text=True, check=True)
        told.add(ended.stdout.strip())
    assert len(told) == 1
    assert len(told.pop()) == 8


def test_the_hash_differs_with_every_setting_but_not_with_secrets():
    policies = [
        Policy(),
        Policy(retry=None),
        Policy(retry=Retry(max_attempts=4)),
        Policy(retry=Retry(on_status=[500])),
        Policy(retry=Retry(on_exception=[OSError])),
        Policy(retry=Retry(on_retry=hook)),
        Policy(fallback=Fallback(response={"content": b"a"})),
        Policy(fallback=Fallback(response={"headers": {"a": "b"}})),
        Policy(connection=Connection(proxy=PROXY)),
        Policy(connection=Connection(cert_file="client.pem")),
    ]
    assert len({policy.hash for policy in policies}) == len(policies)
    assert Policy(connection=Connection(proxy=PROXY.replace(SECRET, "other"))).hash == policies[8].hash


def test_equal_policies_have_equal_hashes_however_they_were_written():
    spelt_out = Retry(on_status={429, 500, 502, 503, 504, 425, 408})
    assert Policy(retry={"max_attempts": 3}).hash == Policy(retry=spelt_out).hash == Policy().hash


def test_the_hash_of_an_object_that_is_called_is_that_of_its_class():
    class Hook:
        def __call__(self, attempt, outcome, delay):
            """Called."""

    assert Policy(retry=Retry(on_retry=Hook())).hash == Policy(retry=Retry(on_retry=Hook())).hash


def test_its_limits_are_told_by_dotted_names():
    limits = Policy(circuit_breaker=CircuitBreaker(failure_ratio=0.25), fallback=Fallback(response={})).limits()
    assert limits["circuit_breaker.failure_ratio"] == 0.25
    assert limits["retry.backoff.base"] == 0.05
    assert limits["retry.budget.capacity"] == 500
    assert limits["connection.max_connections"] == 100
    assert all(isinstance(value, int | float) and not isinstance(value, bool) for value in limits.values())
    assert not any("status" in name for name in limits)
    assert "timeout.total" not in Policy(timeout=Timeout(total=None)).limits()
    assert len(limits) <= 64, "the metric tells no more"


def test_it_says_what_has_changed():
    old = Policy()
    assert old.changed_from(Policy()) == ()
    new = Policy(retry=Retry(max_attempts=4, backoff=Fixed(seconds=1)), circuit_breaker=None)
    changed = new.changed_from(old)
    assert {
        "retry.max_attempts",
        "retry.backoff.kind",
        "retry.backoff.seconds",
        "retry.backoff.base",
        "circuit_breaker",
    } <= set(changed)
    assert "timeout.total" not in changed


def test_loading_is_told_as_a_change_of_state():
    assert ConfigLoaded("9f2c41d0").evidence() == {"spanwire.policy.hash": "9f2c41d0"}
    changed = Policy(retry=Retry(max_attempts=4)).changed_from(Policy())
    assert ConfigLoaded("9f2c41d0", changed).evidence()["spanwire.config.changed"] == ("retry.max_attempts",)
    rejected = ConfigRejected("9f2c41d0", "Policy from 'policy.yaml': ...")
    assert ConfigLoaded.LASTING
    assert rejected.LASTING
    assert rejected.evidence()["spanwire.config.problem"] == "Policy from 'policy.yaml': ..."


# -- parts that do not fit together --------------------------------------------------------------------------------


def test_attempts_that_can_never_start_are_warned_of():
    with pytest.warns(PolicyWarning, match=r"of `retry.max_attempts` = 100 only 3 fit into `timeout.total` = 0.5 s"):
        Policy(timeout=Timeout(total=0.5), retry=Retry(max_attempts=100, backoff=Fixed(seconds=0.2)))
    with pytest.warns(PolicyWarning, match="only 3 fit"):
        Policy(timeout=Timeout(total=30, attempt=10), retry=Retry(max_attempts=4))


def test_the_warning_points_to_the_line_that_made_the_policy():
    with pytest.warns(PolicyWarning) as caught:
        Policy(timeout=Timeout(total=0.5), retry=Retry(max_attempts=100, backoff=Fixed(seconds=0.2)))
    assert caught[0].filename == __file__


def test_a_window_that_one_slow_attempt_outlasts_is_warned_of():
    with pytest.warns(PolicyWarning, match="`circuit_breaker.window` = 5 s is below twice `timeout.attempt` = 10 s"):
        Policy(timeout=Timeout(attempt=10), circuit_breaker=CircuitBreaker(window=5))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"timeout": Timeout(total=0.1)},
        {"timeout": None, "retry": Retry(max_attempts=100)},
        {"timeout": Timeout(total=None), "retry": Retry(max_attempts=10**9)},
        {"timeout": Timeout(attempt=None), "retry": Retry(max_attempts=5)},
        {"timeout": Timeout(attempt=10), "circuit_breaker": None, "retry": None},
        {"timeout": Timeout(attempt=None), "circuit_breaker": CircuitBreaker(window=5)},
        {"circuit_breaker": CircuitBreaker(window=5)},
    ],
    ids=str,
)
def test_what_was_not_chosen_is_not_warned_of(parts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Policy(**parts)


# -- the connection ------------------------------------------------------------------------------------------------


def test_the_connection_gives_what_httpx_takes():
    arguments = Connection(max_connections=7, http2=True, verify=False, proxy=PROXY).client_arguments()
    assert arguments == {
        "limits": httpx.Limits(max_connections=7, max_keepalive_connections=20, keepalive_expiry=5),
        "http2": True,
        "verify": False,
        "proxy": PROXY,
    }
    httpx.Client(**(arguments | {"http2": False})).close()
    httpx.HTTPTransport(**(Connection().transport_arguments())).close()
    assert "proxy" not in Connection().client_arguments(), "so that the environment's stays in force"


def test_a_proxys_password_is_never_shown():
    policy = Policy(connection=Connection(proxy=PROXY))
    shown = [
        repr(policy),
        str(policy),
        str(policy.model_dump()),
        policy.model_dump_json(include={"connection"}),
        str(policy.changed_from(Policy())),
    ]
    assert not any(SECRET in text for text in shown)
    assert "proxy.internal:3128" in repr(policy), "the rest is"
    assert policy.connection.proxy.get_secret_value() == PROXY


@pytest.mark.parametrize(
    "proxy",
    [
        f"ftp://user:{SECRET}@h",
        f"//user:{SECRET}@h",
        f"http://user:{SECRET}@h:99999",
        f"http://user:{SECRET}@h:port",
        f"http://user:{SECRET}@",
        7,
    ],
)
def test_an_impossible_proxy_is_refused_without_being_shown(proxy):
    with pytest.raises(ConfigurationError, match=r"`connection\.proxy`") as caught:
        Policy(connection={"proxy": proxy})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "proxy", [PROXY, httpx.URL(PROXY), ProxyURL(PROXY), "socks5://h:1080", "socks5h://h:1080", "https://h"]
)
def test_a_proxy_is_given_as_text_or_as_a_url(proxy):
    assert isinstance(Connection(proxy=proxy).proxy, ProxyURL)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_connections": 0}, "max_connections"),
        ({"keepalive_expiry": -1}, "keepalive_expiry"),
        ({"wire": "pigeon"}, "wire"),
        ({"key_file": "key.pem"}, "`key_file` is of no use without `cert_file`"),
        ({"ca_file": "ca.pem", "verify": False}, "`ca_file` is of no use with `verify` = False"),
    ],
)
def test_impossible_settings_name_themselves(settings, named):
    with pytest.raises(ConfigurationError, match=named):
        Connection(**settings)


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A self-signed certificate with its key, and the key once more, encrypted."""
    folder = tmp_path_factory.mktemp("pem")
    certificate, key, encrypted = folder / "cert.pem", folder / "key.pem", folder / "encrypted.pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test", "-days", "2"]
    subprocess.run([*openssl, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", key, "-out", encrypted],
        check=True,
        capture_output=True,
    )
    return certificate, key, encrypted


def test_tls_files_make_a_context(pem):
    certificate, key, _ = pem
    trusting = Connection(ca_file=certificate, cert_file=certificate, key_file=key).client_arguments()["verify"]
    assert isinstance(trusting, ssl.SSLContext)
    assert trusting.cert_store_stats()["x509_ca"] == 1
    plain = Connection(verify=False, cert_file=certificate, key_file=key).client_arguments()["verify"]
    assert plain.verify_mode == ssl.CERT_NONE


def test_authorities_are_trusted_without_a_certificate_of_our_own(pem):
    trusting = Connection(ca_file=pem[0]).client_arguments()["verify"]
    assert trusting.verify_mode == ssl.CERT_REQUIRED


def test_tls_files_that_cannot_be_used_name_themselves(pem, tmp_path):
    certificate, _, encrypted = pem
    (tmp_path / "empty.pem").touch()
    for settings, named in [
        ({"ca_file": tmp_path / "none.pem"}, "`ca_file`.*none.pem.*No such file"),
        ({"ca_file": tmp_path / "empty.pem"}, "`ca_file`.*PEM certificates"),
        ({"cert_file": tmp_path / "none.pem"}, "`cert_file`.*No such file"),
        ({"cert_file": certificate}, "`cert_file`.*with its key"),
        ({"cert_file": certificate, "key_file": encrypted}, "is encrypted"),
    ]:
        with pytest.raises(ConfigurationError, match=named):
            Connection(**settings).client_arguments()


def test_exponential_is_what_the_guide_calls_it():
    assert Policy.production().retry.backoff == Exponential(base=1, jitter="proportional", jitter_range=(0.8, 1.0))
