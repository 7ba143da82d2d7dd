"""The command line: one call with its decision tree (`spanwire get`), and a demonstration (`spanwire demo`)."""

from .entry import main

__all__ = ["main"]
