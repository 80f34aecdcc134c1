"""`cresset serve` from its start to its end: readiness, refusals to start, keys and TLS, draining."""
import http.client
import json
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import unittest
import warnings

import harness

MODEL = harness.MODEL_NAME


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = harness.Home()
        cls.addClassCleanup(cls.home.remove)

    def refuse(self, *args, expect, **more):
        """A start that must fail with one clear line."""
        done = harness.run("serve", "--data", self.home.data, *args, home=self.home.path, **more)
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertNotIn("ready", done.stdout)
        return done.stderr

    def test_readyz_says_when(self):
        server = harness.Server(self.home, listen=f"127.0.0.1:{free_port()}", wait=False)
        seen = []

        def is_ready():
            try:
                seen.append((server.request("GET", "/readyz")[0], server.request("GET", "/healthz")[0]))
            except ConnectionRefusedError:
                self.assertEqual(seen, [], "it listened and then did not")
                self.assertIsNone(server.process.poll(), server.errors())
                return False
            return seen[-1][0] == 200

        harness.wait_until(is_ready, harness.READY_TIME_MAX_S, "readyz is 200")
        self.assertLessEqual({status for status, _ in seen[:-1]}, {503})  # if it was asked while it loaded
        self.assertEqual({status for _, status in seen}, {200})       # alive all the while
        server.chat("Say hello.")
        harness.wait_until(lambda: any("outside" in line for line in server.lines), harness.READY_TIME_MAX_S, "it says so")
        server.stop()
        said = "\n".join(server.lines)
        for words in ("tokens/s", "ready", f"http://127.0.0.1:{server.port}/v1", MODEL, "nothing is configured that could leave"):
            self.assertIn(words, said)

    def test_without_a_model_it_is_ready_and_says_what_to_do(self):
        home = harness.Home(with_model=False)
        self.addCleanup(home.remove)
        server = harness.Server(home)
        self.assertEqual(server.request("GET", "/readyz")[0], 200)
        self.assertEqual(json.loads(server.request("GET", "/v1/models")[2])["data"], [])
        for name in ("default", MODEL):
            status, _, body = server.request("POST", "/v1/chat/completions", {**harness.chat_body("hi"), "model": name})
            self.assertEqual(status, 404)
            error = json.loads(body)["error"]
            self.assertEqual(error["code"], "model_not_found")
            self.assertRegex(error["message"], "import|pull")
        server.stop()

    def test_a_second_server_on_the_same_port(self):
        server = harness.Server(self.home)
        line = self.refuse("--listen", f"127.0.0.1:{server.port}", expect=6)
        self.assertIn(f"127.0.0.1:{server.port}", line)
        self.assertIn("in use", line)
        server.chat("Say hello.")
        ps = harness.run("ps", "--listen", f"127.0.0.1:{server.port}", "--json", home=self.home.path)
        self.assertEqual(json.loads(ps.stdout)["models"], [f"local/{MODEL}"])
        server.stop()
        gone = harness.run("ps", "--listen", f"127.0.0.1:{server.port}", home=self.home.path)
        self.assertEqual(gone.returncode, 6, gone.stderr)

    def test_sigterm_lets_a_stream_end_and_takes_no_new_work(self):
        server = harness.Server(self.home)
        stream = server.stream("Count.", max_tokens=60, ignore_eos=True)
        chunks = [next(stream) for _ in range(3)]
        server.process.send_signal(signal.SIGTERM)

        def refuses():
            try:
                return server.request("GET", "/readyz")[0] == 503
            except ConnectionError:
                return True

        harness.wait_until(refuses, 20, "it is not ready any more")
        chunks += list(stream)  # raises when [DONE] is missing
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "length")
        server.stop()

    def test_sigint_ends_it_as_well(self):
        server = harness.Server(self.home)
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(harness.STOP_TIME_MAX_S), 0)
        server.stop()

    def test_an_open_address_needs_key_and_tls(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            line = self.refuse("--listen", address, expect=4)
            self.assertIn(address, line)
            self.assertIn("TLS", line)
            self.assertIn("[[key]]", line)
        only_key = self.write('[[key]]\nname = "a"\nsecret_env = "KEY_A"\n')
        line = self.refuse("--listen", "0.0.0.0:0", "--config", only_key, expect=4, env={"KEY_A": "sk-a"})
        self.assertIn("TLS", line)
        self.assertNotIn("[[key]]", line)

    def test_insecure_is_possible_and_says_what_it_gives_up(self):
        config = self.write('[server]\ninsecure = true\n')
        server = harness.Server(self.home, "--config", config, listen="0.0.0.0:0")
        self.assertEqual(server.request("GET", "/readyz")[0], 200)
        server.stop()
        log = pathlib.Path(server.log.name).read_text()
        self.assertIn("without a key", log)
        self.assertIn("without TLS", log)

    def test_a_key_without_its_secret_does_not_start(self):
        config = self.write('[[key]]\nname = "laptop"\nsecret_env = "NOT_SET"\n')
        self.assertIn("NOT_SET", self.refuse("--config", config, expect=2))
        half = self.write('[server]\ntls_cert = "only.pem"\n')
        done = harness.run("serve", "--data", self.home.data, "--config", half, home=self.home.path)
        self.assertEqual(done.returncode, 2 if "tls_key" in done.stderr.splitlines()[-1] else 3)
        self.assertIn("tls_key", done.stderr)

    def test_keys_and_tls(self):
        certificate, private = self.home.path / "cert.pem", self.home.path / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", private, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        secret_file = self.home.path / "secret"
        secret_file.write_text("sk-from-file\n")
        config = self.write('[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n'
                            '[[key]]\nname = "a"\nsecret_env = "KEY_A"\n'
                            f'[[key]]\nname = "b"\nsecret_file = "{secret_file}"\nmodels = ["local/other"]\n')
        server = harness.Server(self.home, "--config", config, listen="0.0.0.0:0", env={"KEY_A": "sk-a"})
        trust = ssl.create_default_context(cafile=str(certificate))

        def ask(method, path, body=None, **headers):
            connection = http.client.HTTPSConnection("localhost", server.port, timeout=120, context=trust)
            try:
                connection.request(method, path, json.dumps(body) if body else None,
                                   {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
                response = connection.getresponse()
                return response.status, response.read().decode()
            finally:
                connection.close()

        good = {"Authorization": "Bearer sk-a"}
        self.assertEqual(ask("GET", "/healthz")[0], 200)  # asks for no key
        self.assertEqual(ask("GET", "/v1/models", **good)[0], 200)
        self.assertEqual(ask("GET", "/v1/models", x_api_key="sk-a")[0], 200)
        status, body = ask("POST", "/v1/chat/completions", harness.chat_body("Say hello."), **good)
        self.assertEqual(status, 200, body)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer sk-"}, {"Authorization": "Bearer sk-aa"},
                        {"Authorization": "sk-a"}, {"Authorization": "Basic sk-a"}, {"x_api_key": ""}):
            status, body = ask("POST", "/v1/chat/completions", harness.chat_body("hi"), **headers)
            self.assertEqual(status, 401, headers)
            self.assertNotIn("sk-a", body)
        # The second key may use another model only: this one is not there for it.
        narrow = {"Authorization": "Bearer sk-from-file"}
        self.assertIn(ask("POST", "/v1/chat/completions", harness.chat_body("hi"), **narrow)[0], (403, 404))
        self.assertEqual(json.loads(ask("GET", "/v1/models", **narrow)[1])["data"], [])
        # Plain HTTP gets nothing; a client that does not know the certificate does not trust it.
        try:
            plain = server.request("GET", "/v1/models", headers=good)[0]
        except (ConnectionError, http.client.HTTPException):
            plain = None
        self.assertIn(plain, (None, 400))
        with self.assertRaises(ssl.SSLCertVerificationError), socket.create_connection(("127.0.0.1", server.port)) as c:
            ssl.create_default_context().wrap_socket(c, server_hostname="localhost")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(str(certificate))
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)), socket.create_connection(("127.0.0.1", server.port)) as c:
            old.wrap_socket(c, server_hostname="localhost")
        server.stop()
        log = pathlib.Path(server.log.name).read_text() + "\n".join(server.lines)
        self.assertNotIn("sk-a", log)
        self.assertNotIn("sk-from-file", log)

    def test_prompts_and_answers_are_not_logged(self):
        server = harness.Server(self.home)
        answer = server.chat("The password is swordfish-4711.", max_tokens=12)
        list(server.stream("Another secret: rosebud-0815.", max_tokens=4))
        server.request("POST", "/v1/chat/completions", {**harness.chat_body("tulip-1234"), "nonsense": "tulip-5678"})
        server.stop()
        log = pathlib.Path(server.log.name).read_text() + "\n".join(server.lines)
        for words in ("swordfish", "rosebud", "tulip", answer):
            self.assertNotIn(words, log)

    def write(self, text):
        path = self.home.path / f"cresset-{threading.get_ident()}-{len(list(self.home.path.iterdir()))}.toml"
        path.write_text(text)
        return path


if __name__ == "__main__":
    harness.main()
