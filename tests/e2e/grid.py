"""Fake lighthouses and a server in front of them, for tests of the whole grid."""
import json
import pathlib
import re
import subprocess
import tempfile
import threading

import harness

DIALECTS = ("openai_chat", "openai_responses", "anthropic", "gemini")
TEXT = "This light is not a real one"
SIGNATURE = "ZmFrZS1saWdodGhvdXNl"


class Lighthouse:
    """`cresset lighthouse fake` on a port that the system chose."""

    def __init__(self, dialect, script=None, record=None):
        args = [harness.binary(), "lighthouse", "fake", "--dialect", dialect, "--listen", "127.0.0.1:0"]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="cresset-light-"))
        if script:
            path = self.home / "script.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in script))
            args += ["--script", str(path)]
        if record:
            args += ["--record", str(record)]
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        env=harness.environment(self.home))
        lines = [self.process.stdout.readline().decode() for _ in range(2)]
        self.url = re.search(r"http://\S+", lines[1])[0]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def base_url(self, dialect):
        return self.url + ("/v1" if dialect.startswith("openai") else "")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


SCRIPTS = {
    "answer": [{"do": "answer"}],
    "tool": [{"do": "tool", "calls": [{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
                                      {"name": "get_time", "arguments": ""}]}],
    "think": [{"do": "think", "thought": "I think so.", "text": "Four."}],
    "json": [{"do": "answer", "text": '{"name":"Ada","age":36}'}],
    "busy": [{"do": "status", "status": 429, "message": "slow down", "retry_after": 7}],
    "cut": [{"do": "cut", "after": 500}],
    "garbage": [{"do": "garbage"}],
}


class Grid:
    """A server with a provider for every dialect and behaviour: "anthropic_tool/any-name"."""

    def __init__(self, kinds=tuple(SCRIPTS)):
        self.home = harness.Home(with_model=False)
        self.lights = {(d, k): Lighthouse(d, SCRIPTS[k]) for d in DIALECTS for k in kinds}
        config = self.home.path / "cresset.toml"
        text = ""
        for (dialect, kind), light in self.lights.items():
            text += (f'[[provider]]\nname = "{dialect}_{kind}"\ndialect = "{dialect}"\n'
                     f'base_url = "{light.base_url(dialect)}"\nkey_env = "FAKE_KEY"\n')
        text += ('[[alias]]\nname = "second"\ncandidates = ["openai_chat_busy/x", "anthropic_cut/x", "gemini_answer/x"]\n'
                 if "busy" in kinds else "")
        config.write_text(text)
        self.server = harness.Server(self.home, "--config", config, env={"FAKE_KEY": "sk-fake"})

    def stop(self):
        self.server.stop()
        for light in self.lights.values():
            light.stop()
        self.home.remove()
