"""What background work of both colours shares: it runs in a context of its own, and is known as such."""

from __future__ import annotations

import contextvars

BACKGROUND: contextvars.ContextVar[bool] = contextvars.ContextVar("spanwire_background", default=False)
"""Whether this is background work. A fake clock lets it sleep until the clock gets there, and does not move for it."""


def own_context() -> contextvars.Context:
    """A context with nothing in it of the call that happened to start the work: not its span, not its baggage."""
    context = contextvars.Context()
    context.run(BACKGROUND.set, True)
    return context
