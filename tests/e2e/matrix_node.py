"""The official Node clients (matrix_node.mjs) against providers of every dialect through the gateway."""
import os
import subprocess
import unittest

import grid
import harness

NODE = harness.TEST_ENV / "node" / "bin" / "node"
if not NODE.exists() or not (NODE.parents[1] / "node_modules" / "@anthropic-ai").exists():
    harness.skip_file("Node and its clients are not there; `tools/test-env` fetches them")


class MatrixNode(unittest.TestCase):
    def test_the_official_node_clients(self):
        lights = grid.Grid(("answer", "tool", "think"))
        self.addCleanup(lights.stop)
        script = harness.ROOT / "tests" / "e2e" / "matrix_node.mjs"
        environment = {**os.environ, "BASE_URL": f"http://127.0.0.1:{lights.server.port}",
                       "CRESSET_NODE_MODULES": str(NODE.parents[1] / "node_modules"),
                       **{f"LIGHT_{d}_{k}".upper(): light.url for (d, k), light in lights.lights.items()}}
        done = subprocess.run([NODE, "--test-concurrency=1", "--test", "--test-reporter=spec", script], env=environment,
                              capture_output=True, text=True, timeout=400)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("fail 0", done.stdout)


if __name__ == "__main__":
    harness.main()
