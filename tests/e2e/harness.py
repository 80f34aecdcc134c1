"""What the end-to-end tests share: the real binary, the real model, a server of one's own, and ways to ask it.

Nothing here knows the inside of the program: it is started as its owner starts it, asked through sockets, and ended
with SIGTERM. A test that needs what this machine lacks exits with 77, and ctest says that it was skipped and why.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SKIPPED = 77
ROOT = pathlib.Path(__file__).resolve().parents[2]
TEST_ENV = ROOT / ".cache" / "test-env"
MODEL_NAME = "smollm2"
READY_TIME_MAX_S = 240
STOP_TIME_MAX_S = 60


def skip_file(why):
    print(f"skipped: {why}", file=sys.stderr)
    sys.exit(SKIPPED)


def binary():
    path = os.environ.get("CRESSET_BINARY") or str(ROOT / "build" / "release" / "cresset")
    if not os.access(path, os.X_OK):
        sys.exit(f"{path}: no such program; `./dev build` makes it, CRESSET_BINARY names another")
    return path


def model_file():
    path = os.environ.get("CRESSET_TEST_MODEL") or str(ROOT / ".cache/models/smollm2-135m-instruct-q4_1.gguf")
    if not os.path.isfile(path):
        skip_file(f"the test model is not there ({path}); `tools/fetch-model default` fetches it")
    return path


def need_package(name):
    """Goes on under the Python of tools/test-env when this one lacks the package."""
    try:
        __import__(name)
        return
    except ImportError:
        pass
    python = TEST_ENV / "venv" / "bin" / "python"
    if os.environ.get("CRESSET_TEST_REEXEC") or not python.exists():
        skip_file(f"the Python package {name} is not there; `tools/test-env` fetches it")
    os.environ["CRESSET_TEST_REEXEC"] = "1"
    os.execv(python, [str(python), *sys.argv])


def main(time_max_s=600):
    """Runs the tests of the calling file; a hang ends it, with where every thread stood."""
    import faulthandler

    faulthandler.dump_traceback_later(time_max_s, exit=True)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if result.testsRun == len(result.skipped) and result.skipped:
        skip_file("; ".join(sorted({why for _, why in result.skipped})))
    sys.exit(0 if result.wasSuccessful() else 1)


def environment(home, extra=None):
    """The environment of a newcomer: nothing of this one's configuration reaches the program."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TMPDIR") or k.endswith("SAN_OPTIONS")}
    return {**kept, "HOME": str(home), "NO_COLOR": "1", **(extra or {})}


def run(*args, home, stdin=None, env=None, time_max_s=120):
    """One run of the binary, to its end. stdout and stderr are text."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([binary(), *map(str, args)], input=data if data is not None else b"", capture_output=True,
                          env=environment(home, env), timeout=time_max_s, cwd=str(home))
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


class Home:
    """A temporary home whose data directory holds the model, or nothing."""

    def __init__(self, with_model=True, name=MODEL_NAME):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="cresset-test-"))
        self.data = self.path / "data"
        if with_model:
            done = run("import", model_file(), "--name", name, "--data", self.data, home=self.path)
            if done.returncode != 0:
                self.remove()
                raise AssertionError(f"import failed: {done.stderr}")

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """`cresset serve` on a port that the system chose, from its start to the exit code 0 after SIGTERM."""

    def __init__(self, home, *args, listen="127.0.0.1:0", env=None, wait=True):
        self.home = home
        self.log = open(home.path / f"serve-{time.monotonic_ns()}.log", "w+b")
        self.lines = []
        self.port = None
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [binary(), "serve", "--listen", listen, "--data", str(home.data), *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, env=environment(home.path, env),
            cwd=str(home.path))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not wait:
            self.port = int(listen.rsplit(":", 1)[1])
        elif not self._ready.wait(READY_TIME_MAX_S) or self.port is None:
            self.process.kill()
            raise AssertionError(f"the server did not become ready: {self.lines} {self.errors()}")

    def _read(self):
        for line in self.process.stdout:
            line = line.decode().rstrip("\n")
            self.lines.append(line)
            if found := re.match(r"\s+API\s+https?://.*:(\d+)/v1", line):
                self.port = int(found[1])
            if re.match(r"\s+outside\s", line):  # the last line of what it says when it is ready
                self._ready.set()
        self._ready.set()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def errors(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def stop(self, expect=0):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_TIME_MAX_S)
        self._reader.join(STOP_TIME_MAX_S)
        self.process.stdout.close()
        errors = self.errors()
        self.log.close()
        if code != expect:
            raise AssertionError(f"serve exited with {code}, not {expect}: {errors[-2000:]}")

    def request(self, method, path, body=None, headers=None, time_max_s=300):
        """(status, headers, bytes) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=time_max_s)
        with contextlib.closing(connection):
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def chat(self, text="Say hello.", **more):
        """The text of one answer, whole."""
        status, _, body = self.request("POST", "/v1/chat/completions", chat_body(text, **more))
        if status != 200:
            raise AssertionError(f"chat answered {status}: {body[:500]}")
        return json.loads(body)["choices"][0]["message"]["content"]

    def stream(self, text, **more):
        """The chunks of one answer, as they come. Closing the generator closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with contextlib.closing(connection):
            body = json.dumps(chat_body(text, stream=True, **more))
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(f"stream answered {response.status}: {response.read()[:500]}")
            done = False
            while line := response.readline():
                if line.startswith(b"data: [DONE]"):
                    done = True
                elif line.startswith(b"data: "):
                    yield json.loads(line[6:])
            if not done:
                raise AssertionError("the stream ended without [DONE]")

    def metrics(self):
        """{"name{labels}": value} of /metrics."""
        status, _, body = self.request("GET", "/metrics")
        assert status == 200, status
        lines = (line for line in body.decode().splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def metric(self, name, labels=""):
        """The sum over all series of that name whose labels hold `labels`."""
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name and labels in k)

    def wait_idle(self, time_max_s=60):
        wait_until(lambda: self.metric("vllm:num_requests_running") == 0 and
                   self.metric("vllm:num_requests_waiting") == 0, time_max_s, "the server is idle")

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def chat_body(text, **more):
    return {"model": MODEL_NAME, "messages": [{"role": "user", "content": text}],
            **{"max_tokens": 8, "temperature": 0, **more}}


def text_of(chunks):
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def wait_until(is_true, time_max_s, what):
    """Another process cannot be waited for: it is asked again until it says yes."""
    end = time.monotonic() + time_max_s
    while not is_true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {time_max_s} s: {what}")
        time.sleep(0.02)


class ServedTest(unittest.TestCase):
    """Tests that share one server with the model; it must end well after all of them."""

    server_args = ()

    @classmethod
    def setUpClass(cls):
        cls.home = Home()
        cls.addClassCleanup(cls.home.remove)
        cls.server = Server(cls.home, *cls.server_args)
        cls.addClassCleanup(cls.server.stop)
