"""`spanwire demo`: two clients, an origin that misbehaves on a script, and everything that is decided between them."""

from __future__ import annotations

import argparse
from typing import Any

from ..types import count, port, seconds

_ABOUT = """\
Start an origin on this machine that misbehaves on a script (latency, bursts of 503, resets, an outage, recovery), let
a sync and an async client call it under the same policy, and watch what they decide. Nothing leaves this machine,
unless OTEL_EXPORTER_OTLP_ENDPOINT says where to export the telemetry to.
"""


def add(commands: Any) -> None:
    """Declare the command."""
    made = commands.add_parser(
        "demo",
        help="watch two clients and a misbehaving origin",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--duration", type=seconds, default=30.0, metavar="SECONDS", help="how long it takes; default 30")
    made.add_argument("--headless", action="store_true", help="lines of text, as where the output is no terminal")
    made.add_argument(
        "--port", type=port, default=9464, help="of the metrics, for Prometheus, on 127.0.0.1; default 9464"
    )
    made.add_argument("--seed", type=count, default=7, help="of everything that is left to chance; default 7")
    made.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from .command import demo

    return demo(options)
