"""A TCP line between a host and its storage that can be slow, or keep back what is sent until it is released."""

import contextlib
import socket
import time
from threading import Event, Thread


class Line:
    """Listens on `port` and passes everything on to another port of this machine."""

    def __init__(self, to_port: int) -> None:
        self.delay_seconds = 0.0
        self.kept_back: list[bytes] = []
        self.answers: list[bytes] = []
        self._to_port = to_port
        self._flows = Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def keep_back(self) -> None:
        """Pass nothing on that is sent from now on; what has been sent is answered."""
        self.kept_back.clear()
        self.answers.clear()
        self._flows.clear()

    def release(self) -> None:
        """Pass on what was kept back, also of senders that have given up."""
        self._flows.set()

    def close(self) -> None:
        """Accept no more connections."""
        self.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                Thread(target=self._there, args=(near, far), daemon=True).start()
                Thread(target=self._back, args=(far, near), daemon=True).start()

    def _there(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                time.sleep(self.delay_seconds)
                if not self._flows.is_set():
                    self.kept_back.append(data)
                    self._flows.wait()
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with far, near, contextlib.suppress(OSError):
            while data := far.recv(65536):
                if self.kept_back:
                    self.answers.append(data)
                with contextlib.suppress(OSError):  # the sender may have given up
                    near.sendall(data)
