"""Every command as a user types it: help, flags, exit codes, JSON, pipes, and what is left on the disk."""
import hashlib
import json
import os
import pathlib
import pty
import select
import shutil
import subprocess
import unittest

import harness

MODEL = harness.MODEL_NAME
COMMANDS = ("serve", "ps", "top", "run", "chat", "ls", "import", "pull", "show", "rm", "bench", "logits", "tokenize", "doctor",
            "config show", "version", "completion", "lighthouse fake")
DONE, FAILED, USAGE, NOT_FOUND, REFUSED, CORRUPT, UNAVAILABLE, STOPPED = 0, 1, 2, 3, 4, 5, 6, 130


def tree_bytes(folder):
    """Of all files but the packed weights, which are made from the models and may be removed at any time."""
    return sum(f.stat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file() and f.suffix != ".packed")


class CommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = harness.Home()
        cls.addClassCleanup(cls.home.remove)

    def run_it(self, *args, expect=DONE, data=None, **more):
        """One run with the data directory that holds the model; its exit code is checked."""
        done = harness.run("--data", data or self.home.data, *args, home=self.home.path, **more)
        self.assertEqual(done.returncode, expect, f"{args}: {done.stdout}{done.stderr}")
        return done

    def json_of(self, *args, **more):
        return json.loads(self.run_it(*args, "--json", **more).stdout)

    def lines_of(self, *args, **more):
        return [json.loads(line) for line in self.run_it(*args, **more).stdout.splitlines()]

    def assert_one_line(self, done, *words):
        """One clear line on stderr, in the program's name, and nothing on stdout."""
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("cresset: "), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)


class Usage(CommandTest):
    def test_every_command_has_help_with_an_example(self):
        listed = self.run_it("--help").stdout
        for command in COMMANDS:
            with self.subTest(command):
                self.assertIn(f"\n  {command} ", listed)
                done = self.run_it(*command.split(), "--help")
                self.assertIn(f"usage: cresset {command}", done.stdout)
                self.assertIn("Example:\n  ", done.stdout)
                self.assertEqual(done.stderr, "")

    def test_no_command_is_missing_here(self):
        table = self.run_it("--help").stdout.split("\n\n")[2]
        names = [line[2:].split("  ")[0] for line in table.splitlines()]
        self.assertEqual(sorted(names), sorted(COMMANDS))

    def test_unknown_flags_and_commands_are_usage_errors(self):
        for command in COMMANDS:
            with self.subTest(command):
                self.assert_one_line(self.run_it(*command.split(), "--nonsense", expect=USAGE), "--nonsense", "--help")
        self.assert_one_line(self.run_it("nonsense", expect=USAGE), "nonsense")
        self.run_it(expect=USAGE)
        for args in (("show",), ("rm", "a", "b"), ("ls", "extra"), ("bench", MODEL, "--gen"), ("bench", MODEL, "--gen", "x"),
                     ("serve", "--listen", "nowhere"), ("serve", "--listen", "127.0.0.1:99999")):
            with self.subTest(args):
                self.assert_one_line(self.run_it(*args, expect=USAGE))

    def test_common_flags_stand_before_and_after_the_command(self):
        data = self.home.data
        for args in (("--data", data, "--json", "ls"), ("ls", "--data", data, "--json"), (f"--data={data}", "ls", "--json")):
            done = harness.run(*args, home=self.home.path)
            self.assertEqual([m["name"] for m in json.loads(done.stdout)], [MODEL], args)
        environment = {"CRESSET_DATA": str(data)}
        self.assertIn(MODEL, harness.run("ls", "--quiet", home=self.home.path, env=environment).stdout)

    def test_version_and_completion(self):
        version = self.json_of("version")["version"]
        self.assertIn(version, self.run_it("version").stdout)
        for shell in ("bash", "zsh", "fish"):
            script = self.run_it("completion", shell).stdout
            for command in COMMANDS:
                self.assertIn(command.split()[0], script)
            if shutil.which(shell) and shell != "fish":
                checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=30)
                self.assertEqual(checked.returncode, 0, checked.stderr)
        self.run_it("completion", "tcsh", expect=USAGE)

    def test_no_colour_and_no_progress_in_pipes(self):
        for args in (("--help",), ("ls",), ("show", MODEL), ("doctor",)):
            done = self.run_it(*args)
            self.assertNotIn("\x1b", done.stdout + done.stderr)
            self.assertNotIn("\r", done.stdout + done.stderr)

    def test_a_closed_pipe_is_no_crash(self):
        command = f"{harness.binary()} --help | head -n 1; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
        self.assertNotIn("139", done.stdout)
        self.assertTrue(done.stdout.startswith("cresset"))


class Models(CommandTest):
    def test_show_says_what_the_model_is(self):
        model = self.json_of("show", MODEL)
        card = model["card"]
        self.assertEqual((card["architecture"], card["quantisation"], card["context_length"], card["licence"]),
                         ("llama", "Q4_1", 8192, "apache-2.0"))
        self.assertEqual(model["size"], os.path.getsize(harness.model_file()))
        digest = hashlib.sha256(pathlib.Path(harness.model_file()).read_bytes()).hexdigest()
        self.assertEqual(model["digest"], f"sha256:{digest}")
        text = self.run_it("show", MODEL).stdout
        for word in ("llama", "Q4_1", "8192", "apache-2.0"):
            self.assertIn(word, text)
        self.assertEqual(self.run_it("show", MODEL, "--template").stdout, card["chat_template"])
        self.assertEqual(self.json_of("show", harness.model_file())["card"], card)

    def test_what_is_not_there(self):
        for command in ("show", "rm", "bench", "tokenize", "logits"):
            with self.subTest(command):
                self.assert_one_line(self.run_it(command, "nobody", expect=NOT_FOUND), "nobody")
        self.assert_one_line(self.run_it("import", "/nowhere.gguf", expect=NOT_FOUND), "/nowhere.gguf")

    def test_files_that_are_no_models(self):
        whole = pathlib.Path(harness.model_file()).read_bytes()
        files = {"empty": b"", "text": b"hello\n" * 100, "cut": whole[:1_000_000], "header": whole[:24],
                 "version": whole[:4] + b"\x63\0\0\0" + whole[8:4096]}
        data = self.home.path / "refused"
        for name, content in files.items():
            with self.subTest(name):
                file = self.home.path / f"{name}.gguf"
                file.write_bytes(content)
                done = self.run_it("import", file, data=data, expect=REFUSED if name == "version" else CORRUPT)
                self.assert_one_line(done, f"{name}.gguf")
                self.assertEqual(self.json_of("ls", data=data), [])

    def test_import_ls_rm_and_the_bytes(self):
        data = self.home.path / "imported"
        size = os.path.getsize(harness.model_file())
        added = self.json_of("import", harness.model_file(), "--name", "one", data=data)
        self.assertEqual((added["name"], added["default"]), ("one", True))
        self.run_it("import", harness.model_file(), "--name", "two", data=data)
        self.run_it("import", harness.model_file(), "--name", "one", data=data)  # again: nothing to do
        self.assertEqual([(m["name"], m["default"]) for m in self.json_of("ls", data=data)], [("one", True), ("two", False)])
        self.assertEqual(self.run_it("ls", "--quiet", data=data).stdout, "one\ntwo\n")
        self.assertLess(tree_bytes(data), size + (1 << 20))  # the same bytes are kept once
        self.assertEqual(self.json_of("rm", "one", data=data)["bytes_freed"], 0)
        packed = sum(f.stat().st_size for f in data.rglob("*.packed"))
        self.assertGreater(packed, size // 2)
        self.assertEqual(self.json_of("rm", "local/two", data=data)["bytes_freed"], size + packed)
        self.assertEqual(list(data.rglob("*.packed")), [])
        self.assertLess(tree_bytes(data), 1 << 20)
        self.assertEqual(self.json_of("ls", data=data), [])

    def test_import_holds_to_a_digest_and_to_names(self):
        data = self.home.path / "digest"
        self.run_it("import", harness.model_file(), "--sha256", "0" * 64, data=data, expect=CORRUPT)
        self.assertEqual(self.json_of("ls", data=data), [])
        for name in ("Upper", "../up", "a/b", "", "default", ".hidden", "a b", "x" * 300):
            with self.subTest(name):
                self.run_it("import", harness.model_file(), "--name", name, data=data, expect=USAGE)

    def test_the_data_directory_is_the_users_alone(self):
        for path in [self.home.data, *self.home.data.rglob("*")]:
            self.assertEqual(path.stat().st_mode & 0o022, 0, path)  # nobody else writes there


class Answers(CommandTest):
    def test_run_answers(self):
        args = ("--temperature", "0", "--max-tokens", "12")
        text = self.run_it("run", MODEL, "Name three colours.", *args).stdout
        self.assertTrue(text.strip())
        self.assertEqual(self.run_it("run", "Name three colours.", *args).stdout, text)  # the default model
        answer = self.json_of("run", "Name three colours.", *args)
        self.assertIn(text.strip(), json.dumps(answer, ensure_ascii=False).replace("\\n", "\n"))

    def test_run_reads_a_pipe(self):
        args = ("--temperature", "0", "--max-tokens", "8")
        with_pipe = self.run_it("run", "Repeat this:", *args, stdin="apples and pears").stdout
        self.assertNotEqual(with_pipe, self.run_it("run", "Repeat this:", *args).stdout)

    def test_run_with_a_seed_repeats(self):
        def text(seed):
            return self.run_it("run", "Say something odd.", "--temperature", "1", "--max-tokens", "12", "--seed", seed).stdout

        self.assertEqual(text(1), text(1))

    def test_run_refuses_what_is_no_answer(self):
        self.run_it("run", "hi", "--temperature", "hot", expect=USAGE)
        self.run_it("run", expect=USAGE)
        empty = self.home.path / "none"
        self.assert_one_line(self.run_it("run", "hi", data=empty, expect=NOT_FOUND), "cresset")

    def test_chat_takes_lines_and_commands(self):
        done = self.run_it("chat", MODEL, "--temperature", "0", "--max-tokens", "8", stdin="/help\nSay hello.\n/clear\n")
        self.assertIn("/save", done.stdout + done.stderr)
        self.assertGreater(len(done.stdout.split()), 1)

    def test_chat_ctrl_c_stops_the_answer_and_not_the_program(self):
        main, other = pty.openpty()
        process = subprocess.Popen(
            [harness.binary(), "chat", MODEL, "--data", str(self.home.data), "--max-tokens", "4000",
             "--temperature", "0"], cwd=self.home.path,
            preexec_fn=lambda: os.login_tty(other), env=harness.environment(self.home.path, {"TERM": "dumb"}))
        os.close(other)
        said = b""

        def read_until(is_there, what):
            nonlocal said
            said = b""
            while not is_there():
                self.assertTrue(select.select([main], [], [], 60)[0], f"{what}: only {said!r}")
                said += os.read(main, 4096)

        def kill():
            process.kill()
            process.wait()
            os.close(main)

        self.addCleanup(kill)
        read_until(lambda: b">>> " in said, "the first prompt")
        os.write(main, b"Write a very long story about the sea, a thousand words or more.\n")
        read_until(lambda: len(said) > 200, "the beginning of an answer")
        os.write(main, b"\x03")
        read_until(lambda: b">>> " in said, "a prompt after Ctrl-C")
        os.write(main, b"/help\n")
        read_until(lambda: b"/save" in said and b">>> " in said, "the help")
        os.write(main, b"\x04")
        self.assertEqual(process.wait(60), DONE)


class Measures(CommandTest):
    def test_bench_prints_json_lines(self):
        args = ("--lengths", "16,32", "--depths", "0,8", "--gen", "4", "--rounds", "1", "--threads", "2")
        lines = self.lines_of("bench", MODEL, *args)
        self.assertEqual([(m["bench"], m["tokens"], m["depth"]) for m in lines if m["bench"] == "prefill"],
                         [("prefill", 16, 0), ("prefill", 32, 0), ("prefill", 16, 8), ("prefill", 32, 8)])
        self.assertEqual([(m["tokens"], m["depth"]) for m in lines if m["bench"] == "decode"], [(4, 0), (4, 8)])
        self.assertTrue(all(m["tok_s"] > 0 for m in lines))
        only = self.lines_of("bench", harness.model_file(), "--only", "decode", "--gen", "2", "--rounds", "1")
        self.assertEqual([m["bench"] for m in only], ["decode"])

    def test_bench_says_what_the_machine_can_do_and_where_the_time_goes(self):
        args = ("--only", "roofline,prefill,batch,kernels", "--lengths", "32", "--prefill-depths", "0", "--depths", "8",
                "--batches", "1,4", "--gen", "4", "--rounds", "1", "--threads", "2")
        lines = self.lines_of("bench", MODEL, *args)
        self.assertEqual([m["bench"] for m in lines], ["roofline", "prefill", "kernels", "kernels", "batch", "batch"])
        self.assertTrue(all(v > 0 for k, v in lines[0].items() if k.endswith(("GBps", "OPS"))), lines[0])
        self.assertTrue({"read_12MiB_GBps", "read_1MiB_GBps", "fma_f32_TFLOPS"} <= lines[0].keys(), lines[0])
        self.assertGreater(lines[1]["peak_share"], 0)
        for line, phase in ((lines[2], "prefill"), (lines[3], "decode")):
            self.assertEqual(line["phase"], phase)
            self.assertAlmostEqual(sum(line["shares"].values()), 1, delta=0.01)
        self.assertEqual([(m["sequences"], m["tokens"], m["depth"]) for m in lines[4:]], [(1, 4, 8), (4, 4, 8)])
        refused = self.run_it("bench", MODEL, "--only", "serve", expect=REFUSED)
        self.assert_one_line(refused, "serve", "later")

    def test_logits(self):
        words = [504, 3575, 282, 4649, 314]
        stdin = json.dumps({"tokens": words}) + "\n" + json.dumps({"tokens": words[:2]}) + "\n"
        two = self.lines_of("logits", MODEL, stdin=stdin)
        self.assertEqual(len(two), 2)
        for line in two:
            self.assertEqual(len(line["top"]), 20)
            self.assertRegex(line["logits_sha256"], "^[0-9a-f]{64}$")
            values = [p for _, p in line["top"]]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertLess(values[0], 0)
        (every,) = self.lines_of("logits", MODEL, "--all", "--top", "3", stdin=json.dumps({"tokens": words}))
        self.assertEqual([len(p["top"]) for p in every], [3] * len(words))
        self.assertEqual(every[-1]["top"], two[0]["top"][:3])
        self.assertEqual(every[1]["top"], two[1]["top"][:3])
        batched = self.lines_of("logits", MODEL, "--batch", "2", stdin=stdin)
        self.assertEqual([b["top"][0][0] for b in batched], [t["top"][0][0] for t in two])

    def test_tokenize(self):
        def tokens(line, *args):
            return self.lines_of("tokenize", MODEL, *args, stdin=line + "\n")[0]["tokens"]

        self.assertEqual(tokens('{"text":"The capital of France is"}'), [504, 3575, 282, 4649, 314])
        self.assertEqual(tokens('{"base64":"VGhlIGNhcGl0YWwgb2YgRnJhbmNlIGlz"}'), [504, 3575, 282, 4649, 314])
        self.assertEqual(tokens('{"text":""}'), [])
        self.assertEqual(tokens('{"text":"<|im_start|>"}', "--special"), [1])
        self.assertGreater(len(tokens('{"text":"<|im_start|>"}')), 1)  # text stays text
        self.assertTrue(tokens('{"base64":"/+8="}'))  # broken UTF-8 has tokens too
        lines = "".join(json.dumps({"text": f"line {n}"}) + "\n" for n in range(100))
        self.assertEqual(len(self.lines_of("tokenize", MODEL, stdin=lines)), 100)

    def test_bad_lines_are_named(self):
        for line in ("garbage", "{}", '{"text":1}', '{"base64":"*"}', "[]"):
            with self.subTest(line):
                done = self.run_it("tokenize", MODEL, stdin='{"text":"good"}\n' + line + "\n", expect=USAGE)
                self.assertIn("stdin:2", done.stderr)
        for line in ('{"tokens":[]}', '{"tokens":[-1]}', '{"tokens":"no"}', "{}"):
            with self.subTest(line):
                self.assertIn("stdin:1", self.run_it("logits", MODEL, stdin=line + "\n", expect=USAGE).stderr)
        unknown = self.run_it("logits", MODEL, stdin='{"tokens":[99999999]}\n', expect=USAGE)
        self.assert_one_line(unknown, "99999999", "49152")


class Configuration(CommandTest):
    def write(self, text):
        path = self.home.path / "cresset.toml"
        path.write_text(text)
        return path

    def test_all_errors_are_reported_with_their_lines(self):
        path = self.write('[server]\nlisten = 5\nlisen = "x"\n\n[sevrer]\n[own_engine]\nthreads = "two"\nkernels = "gpu"\n')
        done = self.run_it("--config", path, "config", "show", expect=USAGE)
        for line in (2, 3, 5, 7, 8):
            self.assertIn(f"cresset.toml:{line}:", done.stderr)
        self.assertIn('did you mean "listen"', done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 5)
        self.run_it("--config", path, "ls", expect=USAGE)  # no command works on a bad configuration
        self.assertIn(":2:", self.run_it("--config", self.write("[server]\nlisten = \n"), "ls", expect=USAGE).stderr)
        self.assert_one_line(self.run_it("--config", "/nowhere.toml", "ls", expect=NOT_FOUND), "/nowhere.toml")

    def test_the_origin_of_every_value(self):
        path = self.write('[server]\nlisten = "127.0.0.1:9999"\n')

        def listen(*args, **more):
            value = self.json_of("--config", path, "config", "show", *args, **more)["values"]["server.listen"]
            return value["value"], value["from"]

        self.assertEqual(listen(), ("127.0.0.1:9999", f"{path}:2"))
        environment = {"CRESSET_SERVER_LISTEN": "127.0.0.1:8888"}
        self.assertEqual(listen(env=environment), ("127.0.0.1:8888", "CRESSET_SERVER_LISTEN"))
        values = self.json_of("config", "show", "--config", "-", stdin='[own_engine]\nthreads = 1\n')["values"]
        self.assertEqual(values["own_engine.threads"]["value"], 1)
        self.assertEqual(values["server.listen"]["from"], "default")

    def test_secrets_are_never_shown(self):
        path = self.write('[[key]]\nname = "laptop"\nsecret_env = "MY_KEY"\n')
        for args in (("config", "show"), ("config", "show", "--json"), ("doctor",), ("doctor", "--json")):
            done = self.run_it("--config", path, *args, env={"MY_KEY": "sk-very-secret"})
            self.assertNotIn("very-secret", done.stdout + done.stderr)
            self.assertIn("laptop" if args[0] == "config" else "1", done.stdout)

    def test_doctor_says_what_would_be_refused(self):
        self.assertEqual(self.json_of("doctor")["refused"], [])
        done = self.run_it("doctor", "--listen", "0.0.0.0:7171", "--json", expect=FAILED)
        self.assertIn("TLS", json.dumps(json.loads(done.stdout)["refused"]))
        self.assertIn("scalar", json.dumps(self.json_of("doctor")["kernels"]))


if __name__ == "__main__":
    harness.main()
