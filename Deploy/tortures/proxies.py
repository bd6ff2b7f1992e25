"""A TCP proxy between the service and a sink, which breaks in the ways that networks do."""
import socket
import threading
import time


class Proxy:
    """Forwards to a port of this machine; `mode` says how."""

    MODES = ("good", "refuses", "hangs", "slow", "cuts")

    def __init__(self, target):
        self.target = target
        self.mode = "good"
        self.connections = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, mode):
        """Connections that are open follow, those to be refused are cut."""
        self.mode = mode
        if mode == "refuses":
            with self.lock:
                for connection in self.connections:
                    _end(connection)

    def close(self):
        self.turn("refuses")
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.mode == "refuses":
                    raise OSError("refused")
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.connections |= {client, server}
            threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source, sink, is_request):
        """Cuts what goes to the server in the middle, and answers before they arrive: stored, but nobody was told."""
        try:
            while True:
                data = source.recv(65_536)
                if not data:
                    break
                while self.mode == "hangs":
                    time.sleep(0.02)
                if self.mode == "slow":
                    time.sleep(0.2)
                if self.mode == "cuts":
                    if is_request:
                        sink.sendall(data[: max(1, len(data) // 2)] if hash(data) % 2 else data)
                        time.sleep(0.05)
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            _end(end)
            with self.lock:
                self.connections.discard(end)


def _end(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
