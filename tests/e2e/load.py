"""A short run of bench/load.py against the real server: every kind of client at once, and nothing that must not be."""
import json
import subprocess
import sys
import unittest

import harness

SECONDS = 5
CONFIG = """
[own_engine]
context_max = 1024
kv_bytes_max = "64MiB"
sequences_max = 4
queue_max = 3
"""


class Load(unittest.TestCase):
    def setUp(self):
        self.home = harness.Home()
        self.addCleanup(self.home.remove)
        config = self.home.path / "cresset.toml"
        config.write_text(CONFIG)
        self.server = harness.Server(self.home, "--config", config)
        self.addCleanup(self.server.stop)

    def load(self, *words):
        done = subprocess.run(
            [sys.executable, str(harness.ROOT / "bench/load.py"), "--url", f"http://127.0.0.1:{self.server.port}",
             "--model", harness.MODEL_NAME, "--pid", str(self.server.process.pid), "--seconds", str(SECONDS),
             "--tokens", "12", "--prefix-tokens", "60", "--long-tokens", "300", "--slow-tokens", "60", *words],
            capture_output=True, text=True, timeout=100)
        self.assertNotEqual(done.stdout, "", done.stderr)
        print(done.stdout)
        out = json.loads(done.stdout)
        self.assertEqual((out["first_errors"], done.returncode), ([], 0), done.stderr)
        return out

    def test_every_kind_of_client_at_once(self):
        out = self.load("--clients", "12", "--mix", "shared=4,distinct=2,long=1,disconnect=2,cancel=2,slow=0.3,oversize=1")
        self.assertGreater(out["compared"], 5)
        self.assertGreater(out["requests"]["shared"], 3)
        # Four are computed and three wait: of twelve clients some are told to come back.
        self.assertGreater(out["refused"].get("503", 0), 0)
        self.server.wait_idle()
        self.assertEqual(self.server.metric("cresset_num_requests_held"), 0)
        self.assertEqual(self.server.metric("cresset_exchanges"), 1)  # this question

    def test_arrivals_that_do_not_wait_for_answers(self):
        out = self.load("--rate", "6", "--seconds", "3", "--mix", "shared=2,disconnect=1")
        self.assertGreater(sum(out["requests"].values()), 6)
        self.server.wait_idle()


if __name__ == "__main__":
    harness.main()
