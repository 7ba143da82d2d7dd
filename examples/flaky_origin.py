"""An origin to try things on: the first request to each path is answered with 503, every later one with 200.

python examples/flaky_origin.py listens on http://127.0.0.1:8000; try `spanwire get http://127.0.0.1:8000/invoices/42`.
"""

from __future__ import annotations

import contextlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Flaky(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    known: set[str] = set()  # noqa: RUF012  (one server, one set)

    def do_GET(self) -> None:
        status = 200 if self.path in self.known else 503
        self.known.add(self.path)
        body = b'{"id": 42, "state": "paid"}'
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """spanwire tells enough."""


def serve(port: int = 8000) -> ThreadingHTTPServer:
    """The server, which listens already; `serve_forever()` lets it answer."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Flaky)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    return server


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8000).serve_forever()
