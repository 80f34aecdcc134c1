"""The official Node client (openai_node.mjs) against the real server and model."""
import os
import subprocess
import unittest

import harness

NODE = harness.TEST_ENV / "node" / "bin" / "node"
if not NODE.exists():
    harness.skip_file("Node and its client are not there; `tools/test-env` fetches them")


class OpenAiNode(harness.ServedTest):
    def test_the_official_node_client(self):
        script = harness.ROOT / "tests" / "e2e" / "openai_node.mjs"
        environment = {**os.environ, "BASE_URL": self.server.base_url, "MODEL": harness.MODEL_NAME,
                       "CRESSET_NODE_MODULES": str(NODE.parents[1] / "node_modules")}
        done = subprocess.run([NODE, "--test-concurrency=1", "--test", "--test-reporter=spec", script], env=environment,
                              capture_output=True, text=True, timeout=400)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("fail 0", done.stdout)
        self.server.wait_idle(30)  # what was aborted there
        self.assertEqual(self.server.metric("vllm:request_success_total", 'finished_reason="abort"'), 1)
        self.assertLess(self.server.metric("vllm:generation_tokens_total"), 400)


if __name__ == "__main__":
    harness.main()
