"""Replaces `python -m emulator`. It answers `GET /health`, and has a batch in flight whenever a signal ends it.

It prints a line for each event. `FAKE_HEALTH` lists the status codes of its first answers, and `FAKE_BATCH_SECONDS` is
how long the batch takes.
"""

import http.server
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse

PROBLEM = b'{"title": "Wrong setting", "detail": "INGEST_BATCH_SIZE is 0: give 1 or more"}'
storage = os.environ["AzureWebJobsStorage"]  # noqa: SIM112 - the host's own spelling
health = [int(status) for status in os.environ.get("FAKE_HEALTH", "").split(",") if status]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = health.pop(0) if health else 200
        body = b"{}" if status == 200 else PROBLEM
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def storage_answers() -> bool:
    """Whether the services in this process's connection string accept connections."""
    settings = dict(part.split("=", 1) for part in storage.split(";") if part)
    for service in ("Blob", "Queue", "Table"):
        url = urllib.parse.urlsplit(settings[f"{service}Endpoint"])
        with socket.socket() as probe:
            if probe.connect_ex((str(url.hostname), int(url.port or 0))):
                return False
    return True


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"fake host: {line}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until a signal comes, then finish the batch."""
    server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)

    def end(number: int, _frame: object) -> None:
        say(f"got {signal.Signals(number).name}")
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    say(f"storage is {storage}")
    server.serve_forever(poll_interval=0.05)
    time.sleep(float(os.environ.get("FAKE_BATCH_SECONDS", "0.5")))
    say("its batch is stored" if storage_answers() else "its batch is lost")


if __name__ == "__main__":
    main()
