"""A server of Cresset's on a free port, with one model, nobody's configuration and a directory of its own."""
import os
import signal
import socket
import subprocess
import time

READY_TIME_MAX_S = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def import_model(binary, model, data):
    """As the model "m", the default where it is the only one."""
    subprocess.run([binary, "import", model, "--name", "m", "--data", data], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Server:
    """Ready when it is made; stops at the end of a with block."""

    def __init__(self, binary, data, settings=()):
        self.port = free_port()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CRESSET_")}
        environment.update(XDG_CONFIG_HOME=str(data), **dict(settings))
        self.process = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", data],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        end = time.monotonic() + READY_TIME_MAX_S
        while not self._is_ready():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit("the server did not get ready")
            time.sleep(0.02)

    def _is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return b" 200 " in s.recv(64)
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
