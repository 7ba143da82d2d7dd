"""Import this first: nothing of the caller's shell may bend a run.

Proxies and every OTEL_* and SPANWIRE_* variable are dropped; the contrib instrumentation is told to use the stable HTTP
conventions, which are the ones that spanwire uses.
"""

from __future__ import annotations

import os

for name in list(os.environ):
    if name.upper().startswith(("OTEL_", "SPANWIRE_")) or name.upper().endswith("_PROXY"):
        del os.environ[name]
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"
