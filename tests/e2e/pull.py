"""`cresset pull` against a loopback server that cuts, stalls, lies about the length and changes the file."""
import hashlib
import http.server
import json
import pathlib
import signal
import subprocess
import threading
import unittest

import harness

MODEL = pathlib.Path(harness.model_file())
CONTENT = MODEL.read_bytes()
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Hub:
    """A file server with ranges and ETags. `plan` says what is done to each GET in turn; then it behaves."""

    def __init__(self, *plan, etag='"one"'):
        self.plan, self.etag, self.content = list(plan), etag, CONTENT
        self.asked = []  # (path, Range, bytes sent)
        self.stalled, self.release = threading.Event(), threading.Event()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        step = self.plan.pop(0) if self.plan else "all"
        wanted = handler.headers.get("Range")
        start = 0
        if wanted and handler.headers.get("If-Range", self.etag) == self.etag:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        if isinstance(step, int):
            handler.send_error(step)
            self.asked.append((handler.path, wanted, 0))
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        stated = len(body) + {"long": 1000, "short": -1000}.get(step, 0)
        handler.send_header("Content-Length", str(stated))
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Connection", "close")
        handler.end_headers()
        sent = body[:HALF] if step in ("cut", "stall") else body[:stated]
        self.asked.append((handler.path, wanted, len(sent)))
        try:
            handler.wfile.write(sent)
            handler.wfile.flush()
            if step == "stall":
                self.stalled.set()
                self.release.wait(120)
        except OSError:
            pass
        handler.close_connection = True

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class Pull(unittest.TestCase):
    def setUp(self):
        self.home = harness.Home(with_model=False)
        self.addCleanup(self.home.remove)

    def hub(self, *plan, **more):
        hub = Hub(*plan, **more)
        self.addCleanup(hub.close)
        return hub

    def pull(self, reference, *args, expect=0, env=None):
        done = harness.run("pull", reference, "--data", self.home.data, *args, home=self.home.path, env=env)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return done

    def models(self):
        done = harness.run("ls", "--json", "--data", self.home.data, home=self.home.path)
        return [(m["name"], m["digest"]) for m in json.loads(done.stdout)]

    def assert_pulled(self, name):
        self.assertEqual(self.models(), [(name, f"sha256:{DIGEST}")])
        kept = sum(f.stat().st_size for f in self.home.data.rglob("*") if f.is_file() and f.suffix != ".packed")
        self.assertLess(kept, len(CONTENT) + (1 << 20))  # nothing half done is left

    def test_a_plain_pull(self):
        hub = self.hub()
        shown = json.loads(self.pull(f"{hub.base}/tiny.gguf", "--json").stdout)
        self.assertEqual((shown["name"], shown["digest"]), ("tiny", f"sha256:{DIGEST}"))
        self.assert_pulled("tiny")
        self.pull(f"{hub.base}/tiny.gguf")  # again: nothing to fetch
        self.assertEqual(len(hub.asked), 1)

    def test_the_hubs_short_form(self):
        hub = self.hub()
        self.pull("hf://owner/repo/model.gguf", "--name", "hub", env={"HF_ENDPOINT": hub.base})
        self.assertEqual(hub.asked[0][0], "/owner/repo/resolve/main/model.gguf")
        self.assert_pulled("hub")

    def test_a_file(self):
        self.pull(f"file://{MODEL}", "--name", "local", "--sha256", DIGEST)
        self.assert_pulled("local")
        self.pull("file:///nowhere.gguf", expect=3)

    def test_a_cut_is_continued(self):
        hub = self.hub("cut", "cut")
        self.pull(f"{hub.base}/tiny.gguf")
        self.assertEqual([wanted for _, wanted, _ in hub.asked][:2], [None, f"bytes={HALF}-"])
        self.assertLessEqual(sum(sent for *_, sent in hub.asked), len(CONTENT))  # no byte came twice
        self.assert_pulled("tiny")

    def test_a_stopped_pull_is_continued_by_the_same_command(self):
        hub = self.hub("stall")
        process = subprocess.Popen([harness.binary(), "pull", f"{hub.base}/tiny.gguf", "--data", str(self.home.data)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.environment(self.home.path))
        with process:
            self.assertTrue(hub.stalled.wait(60))
            harness.wait_until(lambda: sum(f.stat().st_size for f in self.home.data.rglob("*") if f.is_file()) >= HALF,
                               30, "what was sent is on the disk")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(60), 130)
        self.assertEqual(self.models(), [])
        self.pull(f"{hub.base}/tiny.gguf")
        self.assertEqual(hub.asked[-1][1], f"bytes={HALF}-")
        self.assert_pulled("tiny")

    def test_a_killed_pull_leaves_no_model(self):
        hub = self.hub("stall")
        process = subprocess.Popen([harness.binary(), "pull", f"{hub.base}/tiny.gguf", "--data", str(self.home.data)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=harness.environment(self.home.path))
        self.assertTrue(hub.stalled.wait(60))
        process.kill()
        process.wait()
        self.assertEqual(self.models(), [])
        self.pull(f"{hub.base}/tiny.gguf")
        self.assert_pulled("tiny")

    def test_a_length_that_is_too_long(self):
        hub = self.hub(*["long"] * 20)
        self.pull(f"{hub.base}/tiny.gguf", expect=5)
        self.assertEqual(self.models(), [])

    def test_a_length_that_is_too_short(self):
        hub = self.hub(*["short"] * 20)
        done = self.pull(f"{hub.base}/tiny.gguf", expect=5)  # what it stated came whole, and is no whole model
        self.assertIn("output_norm.weight", done.stderr)
        self.assertEqual(self.models(), [])

    def test_a_file_that_changed_meanwhile_starts_again(self):
        hub = self.hub("cut", 500, 500, 500, 500, 500, 500, 500, 500, 500)
        self.pull(f"{hub.base}/tiny.gguf", expect=6)
        hub.plan.clear()
        hub.etag = '"two"'
        self.pull(f"{hub.base}/tiny.gguf")
        self.assertEqual(hub.asked[-1][2], len(CONTENT))
        self.assert_pulled("tiny")

    def test_other_bytes_than_the_digest(self):
        hub = self.hub()
        hub.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
        done = self.pull(f"{hub.base}/tiny.gguf", "--sha256", DIGEST, expect=5)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(self.models(), [])
        hub.content = CONTENT
        self.pull(f"{hub.base}/tiny.gguf", "--sha256", DIGEST.upper())
        self.assert_pulled("tiny")

    def test_what_is_no_model_and_what_is_not_there(self):
        hub = self.hub(404)
        self.assertIn("404", self.pull(f"{hub.base}/tiny.gguf", expect=3).stderr)
        hub.content = b"<html>please log in</html>"
        self.pull(f"{hub.base}/tiny.gguf", expect=5)
        self.assertEqual(self.models(), [])
        for reference in ("ftp://host/x.gguf", "hf://owner/x.gguf", "hf://a/../../x.gguf", "smollm2", "http://192.0.2.1/x.gguf"):
            with self.subTest(reference):
                done = harness.run("pull", reference, "--data", self.home.data, home=self.home.path)
                self.assertIn(done.returncode, (2, 4), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


if __name__ == "__main__":
    harness.main()
