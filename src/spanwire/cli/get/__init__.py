"""`spanwire get URL`: one call, and every decision that was taken on its way."""

from __future__ import annotations

import argparse
from typing import Any

from ..types import count, seconds

_MORE = """\
exit codes:
  0  the call succeeded (4xx answers too, but for 408, 425 and 429; --fail makes them failures)
  1  the call failed: a failed answer, or an error on the wire
  2  what was asked for is impossible, and nothing was sent
  3  a policy refused the call
  4  time ran out

Without --policy the policy comes from SPANWIRE_* variables, else it is the default. With OTEL_EXPORTER_OTLP_ENDPOINT
set the telemetry of the call is exported. Header and query values are never shown.

examples:
  spanwire get https://example.com/ --retries 4 --timeout 10
  spanwire get https://example.com/items -d @item.json -H 'Content-Type: application/json' --idempotent
  spanwire get https://example.com/ --json | jq .attempts
"""


def add(commands: Any) -> None:
    """Declare the command."""
    about = "Make one call and print its decision tree: attempts, waits and decisions, with times and evidence."
    made = commands.add_parser(
        "get",
        help="make one call and print its decision tree",
        description=about,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("url", metavar="URL", help="an http or https URL")
    _request(made.add_argument_group("the request"))
    _policy(made.add_argument_group("the policy"))
    _output(made.add_argument_group("the output"))
    made.set_defaults(run=run)


def _request(group: Any) -> None:
    group.add_argument("-X", "--method", help="default GET, or POST with --data")
    group.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be given more than once"
    )
    group.add_argument("-d", "--data", metavar="DATA", help="the body; @FILE reads a file, - reads stdin")
    group.add_argument("-L", "--follow", action="store_true", help="follow redirects")
    group.add_argument("-k", "--insecure", action="store_true", help="do not verify the certificate")


def _policy(group: Any) -> None:
    group.add_argument("--policy", metavar="FILE", help="a policy in YAML, TOML or JSON")
    group.add_argument("--retries", type=count, metavar="N", help="attempts after the first")
    group.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="for the whole call: attempts, waits and body"
    )
    group.add_argument("--idempotent", action="store_true", help="the request may be sent twice, whatever its method")


def _output(group: Any) -> None:
    group.add_argument("--json", action="store_true", help="the report as JSON")
    group.add_argument(
        "--body", action="store_true", help="the body on stdout and the tree on stderr; with --json, in the JSON"
    )
    group.add_argument("-f", "--fail", action="store_true", help="exit with 1 at any answer of 400 or more")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from .command import get

    return get(options)
