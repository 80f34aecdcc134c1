"""Whatever bytes arrive, the client gets an error or a closed connection, and the server goes on serving."""
import json
import random
import re
import socket
import time
import unittest

import harness

KIB, MIB = 1 << 10, 1 << 20
CHAT = "/v1/chat/completions"
BODY = json.dumps(harness.chat_body("Say hello.", max_tokens=2)).encode()


class HostileHttp(harness.ServedTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hello = cls.server.chat("Say hello.", max_tokens=2)

    def tearDown(self):
        """After every attack: the same process answers the same."""
        self.assertIsNone(self.server.process.poll(), self.server.errors())
        self.assertEqual(self.server.chat("Say hello.", max_tokens=2), self.hello)

    def connect(self, time_max_s=60):
        connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=time_max_s)
        self.addCleanup(connection.close)
        return connection

    def exchange(self, data, close_writing=False):
        """All that the server says to these bytes until it closes; the status of the first answer, or None."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as connection:
            said = b""
            try:
                connection.sendall(data)
                if close_writing:
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    said += piece
            except (ConnectionResetError, BrokenPipeError):
                pass  # it had enough
        first = said.split(b" ", 2)
        return (int(first[1]) if said.startswith(b"HTTP/1.") else None), said

    def head(self, *lines, method="POST", path=CHAT, version="HTTP/1.1"):
        common = (f"{method} {path} {version}", "Host: localhost", "Connection: close", *lines)
        return ("\r\n".join(common) + "\r\n\r\n").encode()

    def post(self, body, content_type="application/json"):
        head = self.head(f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
        return self.exchange(head + body)

    def error_of(self, said):
        return json.loads(said.split(b"\r\n\r\n", 1)[1])["error"]

    def test_a_good_request_by_hand(self):
        self.assertEqual(self.post(BODY)[0], 200)

    def test_headers_over_64_kib(self):
        self.assertEqual(self.exchange(self.head("X-Long: " + "a" * 65 * KIB))[0], 431)
        many = [f"X-{i}: {'b' * 100}" for i in range(700)]
        self.assertEqual(self.exchange(self.head(*many))[0], 431)
        self.assertEqual(self.exchange(self.head(path="/" + "c" * 70 * KIB))[0], 431)

    def test_bodies_over_32_mib(self):
        said = self.exchange(self.head("Content-Type: application/json", f"Content-Length: {33 * MIB}"))
        self.assertEqual(said[0], 413)  # by the stated length alone
        chunk = b"100000\r\n" + b" " * MIB + b"\r\n"
        head = self.head("Content-Type: application/json", "Transfer-Encoding: chunked")
        self.assertEqual(self.exchange(head + chunk * 34)[0], 413)

    def test_lengths_that_lie(self):
        json_type = "Content-Type: application/json"
        for lines in (("Content-Length: -1",), ("Content-Length: 99999999999999999999999",), ("Content-Length: 0x10",),
                      ("Content-Length: 5", "Content-Length: 6"), ("Content-Length: 5", "Transfer-Encoding: chunked"),
                      ("Transfer-Encoding: gzip, chunked",), ("Transfer-Encoding: chunked, identity",),
                      ("Content-Length : 5",)):
            with self.subTest(lines):
                status, _ = self.exchange(self.head(json_type, *lines) + b"hello", close_writing=True)
                self.assertIn(status, (400, 413, 501))
        for body in (b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nhello", b"5\r\nhelloX\r\n0\r\n\r\n"):
            with self.subTest(body):
                status, _ = self.exchange(self.head(json_type, "Transfer-Encoding: chunked") + body, close_writing=True)
                self.assertIn(status, (400, 413))

    def test_a_body_that_never_comes_whole(self):
        head = self.head("Content-Type: application/json", "Content-Length: 1000")
        status, _ = self.exchange(head + b'{"model"', close_writing=True)
        self.assertIn(status, (400, None))

    def test_bodies_that_are_no_json(self):
        deep = b"[" * 10_000 + b"]" * 10_000
        bodies = {
            "empty": b"", "not json": b"hello", "cut": BODY[:-1], "more after it": BODY + b"{}", "an array": b"[]",
            "invalid UTF-8": BODY.replace(b"hello", b"\xff\xfe\x80"),
            "overlong UTF-8": BODY.replace(b"hello", b"\xc0\xaf"),
            "a surrogate in UTF-8": BODY.replace(b"hello", b"\xed\xa0\x80"),
            "half a surrogate pair": BODY.replace(b"hello", b"\\ud800"),
            "10,000 deep": deep, "10,000 deep in a member": b'{"messages":' + deep + b"}",
            "10,000 objects deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            "a duplicate key": BODY[:-1] + b', "model": "other"}',
            "a huge number": BODY.replace(b'"max_tokens": 2', b'"max_tokens": 1' + b"0" * 400),
            "NaN": BODY.replace(b'"max_tokens": 2', b'"temperature": NaN'),
            "a NUL": BODY.replace(b"hello", b"\x00"),
        }
        for name, body in bodies.items():
            with self.subTest(name):
                status, said = self.post(body)
                self.assertEqual(status, 400, said[-300:])
                self.assertEqual(self.error_of(said)["type"], "invalid_request_error")

    def test_content_types(self):
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                             "application/jsonx", "text/plain; application/json"):
            with self.subTest(content_type):
                self.assertEqual(self.post(BODY, content_type)[0], 415)
        self.assertEqual(self.exchange(self.head(f"Content-Length: {len(BODY)}") + BODY)[0], 415)
        self.assertEqual(self.post(BODY, "application/json; charset=utf-8")[0], 200)

    def test_addresses_and_methods(self):
        self.assertEqual(self.exchange(self.head(method="GET", path="/nowhere"))[0], 404)
        self.assertEqual(self.exchange(self.head(method="GET", path="/v1/../../etc/passwd"))[0], 404)
        self.assertEqual(self.exchange(self.head(method="GET", path="/v1/models/%00"))[0] // 100, 4)
        self.assertEqual(self.exchange(self.head(method="GET", path="/v1/models/%zz"))[0] // 100, 4)
        status, said = self.exchange(self.head(method="GET"))
        self.assertEqual(status, 405)
        self.assertIn(b"Allow: POST", said)
        self.assertEqual(self.exchange(self.head(method="DELETE", path="/v1/models"))[0], 405)
        for start in (b"BREW /pot HTCPCP/1.0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
                      b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                      b"CONNECT other:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                      b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # TLS where none is spoken
                      b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            with self.subTest(start):
                self.assertIn(self.exchange(start, close_writing=True)[0], (400, 404, 405, 501, 505, None))

    def test_hosts(self):
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", ""):
            with self.subTest(host):
                status, _ = self.exchange(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                self.assertIn(status, (400, 403))
        self.assertEqual(self.exchange(b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n")[0], 400)
        two = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        self.assertEqual(self.exchange(two)[0], 400)
        folded = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c: d\r\nConnection: close\r\n\r\n"
        self.assertIn(self.exchange(folded)[0], (200, 400))

    def test_http_1_0(self):
        status, said = self.exchange(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual(status, 200)  # and the connection was closed, or this would not be here
        head = f"POST {CHAT} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        stream = BODY[:-1] + b', "stream": true}'
        status, said = self.exchange(head.encode() + f"{len(stream)}\r\n\r\n".encode() + stream)
        self.assertEqual(status, 200)
        self.assertNotIn(b"chunked", said.split(b"\r\n\r\n")[0].lower())  # HTTP/1.0 does not know it

    def test_pipelining_keeps_the_order(self):
        one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        post = (f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY
        last = self.head(method="GET", path="/nowhere")
        _, said = self.exchange(one * 20 + post + one + last)
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]
        self.assertEqual(statuses, [200] * 22 + [404])
        self.assertLess(said.index(b"chat.completion"), said.index(b"unknown_url"))

    def test_a_client_that_only_half_closes_gets_its_answer(self):
        head = self.head("Content-Type: application/json", f"Content-Length: {len(BODY)}")
        self.assertIn(self.exchange(head + BODY, close_writing=True)[0], (200, None))

    def test_clients_that_vanish(self):
        head = self.head("Content-Type: application/json", f"Content-Length: {len(BODY)}")
        for cut in (0, 1, 20, len(head) - 1, len(head), len(head) + 5, len(head) + len(BODY)):
            connection = self.connect()
            connection.sendall((head + BODY)[:cut])
            # A reset, not a polite end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.close()
        self.server.wait_idle()

    def test_slowloris(self):
        # Fifty clients send a header a letter at a time: the others are served meanwhile, and in the end (the limit
        # for a header is 10 s) the fifty are sent away.
        slow = [self.connect() for _ in range(50)]
        for connection in slow:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
        end = time.monotonic() + 40
        slow[0].settimeout(1)
        while True:
            self.assertLess(time.monotonic(), end, "a slow header is accepted for ever")
            try:
                slow[0].sendall(b"h")
                if (said := slow[0].recv(4096)) is not None:
                    break
            except TimeoutError:
                self.assertEqual(self.server.request("GET", "/healthz")[0], 200)
            except ConnectionError:
                said = b""
                break
        self.assertTrue(said == b"" or said.startswith(b"HTTP/1.1 408"), said)
        for connection in slow[1:]:
            connection.settimeout(20)
            self.assertTrue(connection.recv(4096).startswith(b"HTTP/1.1 408"))

    def test_two_hundred_random_blobs(self):
        source = random.Random(20260907)
        good = self.head("Content-Type: application/json", f"Content-Length: {len(BODY)}") + BODY
        for i in range(200):
            blob = source.randbytes(source.randrange(1, 2000))
            if i % 2:  # every other one is a good request with some of its bytes changed
                changed = bytearray(good)
                for _ in range(source.randrange(1, 8)):
                    changed[source.randrange(len(changed))] = source.randrange(256)
                blob = bytes(changed)
            status, said = self.exchange(blob, close_writing=True)
            self.assertTrue(status is None or 200 <= status < 500, (i, status, blob, said[:300]))
        self.server.wait_idle()


if __name__ == "__main__":
    harness.main()
