"""`spanwire <command> ...`: reads the arguments, runs the command, and turns what can go wrong into one line.

A command is a package with `add(commands)`, which declares its arguments and sets `run`, its function. Only `run`
imports what the command needs, so that `--help` and `--version` are quick and work without any extra.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import ConfigurationError
from . import demo, get
from .exits import Exit, tell

_ABOUT = "An httpx client that emits every resilience decision through OpenTelemetry."
_MORE = """\
examples:
  spanwire get https://example.com/         one call, and every decision that was taken on its way
  spanwire demo                             two clients, a misbehaving origin and live telemetry

`spanwire COMMAND --help` tells the rest.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    made = argparse.ArgumentParser(
        "spanwire", description=_ABOUT, epilog=_MORE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("-V", "--version", action="version", version=f"spanwire {__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND")
    for command in (get, demo):
        command.add(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    made = parser()
    options = made.parse_args(arguments)
    if not hasattr(options, "run"):
        made.print_help(sys.stderr)
        return Exit.USAGE
    try:
        return int(options.run(options))
    except ConfigurationError as error:
        tell(str(error))
        return Exit.USAGE
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        tell("the command line needs `rich`: install spanwire[cli]")
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python complains when it flushes at its end
        return Exit.BROKEN_PIPE
