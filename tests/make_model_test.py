"""tools/make-model: a file of any architecture and format that it writes opens in our engine, and its answers are the
noise that is promised. Tiny shapes; neither a model nor another program than the built `cresset` is needed."""
import hashlib
import importlib.machinery
import importlib.util
import json
import math
import pathlib
import statistics
import sys
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
import harness  # noqa: E402

TOKENIZER = ROOT / "testing/golden/tiny-qwen2.gguf"
TINY = dict(layers=3, width=256, feed_forward=512, heads=4, kv_heads=2, vocabulary=600, context=256, rope_base=1e4,
            epsilon=1e-6)


def load_tool():
    loader = importlib.machinery.SourceFileLoader("make_model", str(ROOT / "tools/make-model"))
    spec = importlib.util.spec_from_loader("make_model", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class MakeModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = harness.Home(with_model=False)
        cls.addClassCleanup(cls.home.remove)
        cls.tool = load_tool()
        shape = cls.tool.shape
        cls.tool.SHAPES |= {
            "tiny-llama": shape("llama", **TINY, rope_factor=8.0),
            "tiny-untied": shape("llama", **TINY, tied=False),
            "tiny-qwen2": shape("qwen2", **TINY),
            "tiny-qwen3": shape("qwen3", **TINY, head_size=96),
            "tiny-qwen3moe": shape("qwen3moe", **TINY, experts=(6, 2, 256)),
            # Rows that are no whole number of blocks of 256, as those of the smallest real model.
            "tiny-narrow": shape("llama", **TINY | {"width": 192, "heads": 3, "kv_heads": 1, "feed_forward": 384}),
        }

    def make(self, *words, name="m.gguf"):
        out = self.home.path / name
        with mock.patch.object(sys, "argv", ["make-model", words[0], str(out), "--tokenizer-from", str(TOKENIZER), *words[1:]]), \
             mock.patch("builtins.print"):
            self.tool.main()
        return out

    def answer(self, path):
        """Log-probabilities of all tokens behind a short prompt."""
        done = harness.run("logits", path, "--top", "600", home=self.home.path, stdin='{"tokens":[5,80,17,200,31]}')
        self.assertEqual(done.returncode, 0, done.stderr)
        top = json.loads(done.stdout)["top"]
        self.assertEqual(len(top), 600)
        return [value for _, value in sorted(top)]

    def assert_is_noise(self, path, label):
        """The last norm leaves values of size 1, the output rows have a spread of 3 / sqrt(width): logits of about 3."""
        values = self.answer(path)
        self.assertTrue(all(math.isfinite(v) for v in values), label)
        self.assertAlmostEqual(statistics.pstdev(values), 3.0, delta=0.6, msg=label)

    def test_each_architecture_answers(self):
        for name in ("tiny-llama", "tiny-untied", "tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe", "tiny-narrow"):
            for wanted in ("Q4_0", "Q4_K_M"):
                self.assert_is_noise(self.make(name, "--format", wanted), f"{name} {wanted}")

    def test_each_format_has_the_spread_that_is_meant(self):
        # Also of the output matrix, which llama-quantize would give more bits: its spread is what the logits show.
        everywhere = lambda wanted, *_: self.tool.MIXES.get(wanted, wanted)
        with mock.patch.object(self.tool, "choose_format", everywhere):
            for wanted in self.tool.FILE_TYPES:
                self.assert_is_noise(self.make("tiny-llama", "--format", wanted), wanted)

    def test_layers_and_context_are_those_that_were_asked_for(self):
        path = self.make("tiny-llama", "--layers", "1", "--context", "128")
        keys = self.tool.read_keys(path)
        self.assertEqual(keys["llama.block_count"][1], 1)
        self.assertEqual(keys["llama.context_length"][1], 128)
        self.assert_is_noise(path, "one layer")

    def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(self):
        digests = [hashlib.sha256(self.make("tiny-qwen2", "--seed", seed, name=name).read_bytes()).digest()
                   for seed, name in (("1", "a.gguf"), ("1", "b.gguf"), ("2", "c.gguf"))]
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_a_real_shape_cut_to_one_layer_answers(self):
        path = self.make("smollm2-135m", "--layers", "1", "--format", "Q8_0")
        done = harness.run("logits", path, "--top", "1", home=self.home.path, stdin='{"tokens":[5,80,17]}')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["top"]), 1)

    def test_what_cannot_be_made_is_refused(self):
        text = self.home.path / "text.gguf"
        text.write_text("no model")
        for words in (("tiny-llama", "--tokenizer-from", str(text)), ("tiny-llama", "--tokenizer-from", "/absent.gguf"),
                      ("no-such-shape",), ("tiny-llama", "--format", "Q9_9")):
            with self.assertRaises(SystemExit) as refused, mock.patch("sys.stderr"):
                self.make(*words)
            self.assertNotIn(refused.exception.code, (0, None))


if __name__ == "__main__":
    harness.main(120)
