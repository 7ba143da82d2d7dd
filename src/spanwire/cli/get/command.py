"""Makes the call, tells of it, and says by the exit code how it ended."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import httpx

from ...call import FAILED_STATUS
from ...client import Client
from ...errors import ConfigurationError, Rejected
from ...policies import Policy
from ...redact import redacted_text
from ...report import report
from ...telemetry import setup
from ..exits import Exit
from ..quiet import quiet
from ..record import Recorder
from .output import Ended, as_json, as_tree
from .policy import policy
from .request import request


def get(options: argparse.Namespace) -> int:
    """Run the command; what it exports is sent off after its output, which nobody should wait for."""
    wanted, rules = request(options), policy(options)
    with quiet(), _traced():
        ended = _called(wanted, rules, options)
        show = as_json if options.json else as_tree
        show(ended, options.body)
    return _exit(ended, options.fail)


@contextlib.contextmanager
def _traced() -> Iterator[None]:
    """Within it calls have a trace, where the SDK is installed, and are exported, where there is an endpoint."""
    finish = setup() if importlib.util.find_spec("opentelemetry.sdk") else None
    try:
        yield
    finally:
        if finish is not None:
            finish()


def _called(wanted: dict[str, Any], rules: Policy, options: argparse.Namespace) -> Ended:
    recorder = Recorder()
    with _client(rules, options, recorder) as client:
        asked = client.build_request(**wanted)
        try:
            response = client.send(asked)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Ended(recorder.story(report(error)), error=error)
        return Ended(recorder.story(report(response)), response=response)


def _client(rules: Policy, options: argparse.Namespace, recorder: Recorder) -> Client:
    try:
        more: Any = {"verify": False} if options.insecure else {}
        return Client(name="cli", policy=rules, listeners=[recorder], follow_redirects=options.follow, **more)
    except ConfigurationError:
        raise
    except (httpx.InvalidURL, ValueError) as error:  # httpx's own, of HTTP_PROXY and its like
        raise ConfigurationError(f"a proxy of the environment cannot be had: {redacted_text(str(error))}") from None
    except (ImportError, OSError) as error:  # an extra that the policy needs, or a file of its certificates
        raise ConfigurationError(f"the policy's connection cannot be had: {error}") from None


def _exit(ended: Ended, fail: bool) -> Exit:
    if ended.response is not None:
        code = ended.response.status_code
        return Exit.FAILED if code >= 500 or code in FAILED_STATUS or (fail and code >= 400) else Exit.SUCCESS
    if isinstance(ended.error, Rejected):
        return Exit.REJECTED
    return Exit.TIMEOUT if isinstance(ended.error, httpx.TimeoutException) else Exit.FAILED
