"""The commands that README.md shows work: each block of shell that begins with `# tested` is run as written.

In the README such a block is

    ```sh
    # tested
    cresset run "why is the sky blue?"
    ```

and is run by `bash -euo pipefail`, all of them in order, in one empty home directory whose PATH has the built
`cresset` and in which the default model is installed. A line of more words after `# tested` sets the stage:
`# tested with a server`: `cresset serve` runs on 127.0.0.1:7171 meanwhile; every 7171 in the block is replaced by the
port that is really used, so that no running server is in the way.
usage: readme_test.py [README]
"""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "e2e"))
import harness  # noqa: E402

BLOCK = re.compile(r"^```sh\n(# tested(?P<stage>[^\n]*)\n.*?)^```$", re.MULTILINE | re.DOTALL)
STAGES = ("", "with a server")
BLOCK_TIME_MAX_S = 300
MODEL = "smollm2-135m-instruct"  # as `./dev run` names the default model


def tested_blocks(text):
    blocks = []
    for match in BLOCK.finditer(text):
        stage, line = match["stage"].strip(), text.count("\n", 0, match.start()) + 2
        if stage not in STAGES:
            sys.exit(f"README.md:{line}: '# tested {stage}': is one of {', '.join(map(repr, STAGES))}")
        blocks.append((line, stage, match[1]))
    return blocks


def run_block(home, environment, line, stage, script):
    server = None
    if stage == "with a server":
        server = harness.Server(home)
        script = script.replace("7171", str(server.port))
    try:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=home.path, env=environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=BLOCK_TIME_MAX_S)
    finally:
        if server:
            server.stop()
    print(f"README.md:{line}: exit code {done.returncode}\n{script}{done.stdout}")
    if done.returncode != 0:
        sys.exit(f"README.md:{line}: this block failed: {done.stderr}")


def prove_that_it_can_fail():
    sample = "```sh\n# tested\ntrue\n```\n```sh\nnot tested\n```\n```sh\n# tested with a server\nfalse\n```\n"
    if [(line, stage) for line, stage, _ in tested_blocks(sample)] != [(2, ""), (9, "with a server")]:
        sys.exit("readme: the search for blocks is broken")


def main():
    prove_that_it_can_fail()
    readme = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else harness.ROOT / "README.md"
    if not readme.exists():
        harness.skip_file("there is no README.md")
    blocks = tested_blocks(readme.read_text())
    if not blocks:
        sys.exit("README.md: no block begins with `# tested`: nothing that it promises is checked")
    home = harness.Home(name=MODEL)
    try:
        bin_folder = home.path / "bin"
        bin_folder.mkdir()
        (bin_folder / "cresset").symlink_to(harness.binary())
        environment = harness.environment(home.path, {"CRESSET_DATA": str(home.data)})
        environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
        for block in blocks:
            run_block(home, environment, *block)
    finally:
        home.remove()
    print(f"readme: {len(blocks)} blocks work")


if __name__ == "__main__":
    main()
