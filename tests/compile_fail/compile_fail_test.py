"""Programs that must not compile do not, for the stated reason; the control, which does the same right, does.

A program's first line is `// expect: REGEX`: what the compiler (g++ or clang++) must say about the file's own lines.
usage: compile_fail_test.py COMPILER
"""
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def compile_errors(compiler, file):
    """What the compiler said; None when it was content."""
    done = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", f"-I{HERE.parents[1] / 'src'}", str(file)],
                          capture_output=True, text=True, timeout=120)
    return None if done.returncode == 0 else done.stderr


def main():
    compiler = sys.argv[1] if len(sys.argv) > 1 else "c++"
    wrong = []
    if said := compile_errors(compiler, HERE / "control.cc"):
        wrong.append(f"control.cc must compile, but: {said}")
    programs = sorted(f for f in HERE.glob("*.cc") if f.name != "control.cc")
    for file in programs:
        expected = re.fullmatch(r"// expect: (.+)", file.read_text().splitlines()[0])
        said = compile_errors(compiler, file)
        if not expected:
            wrong.append(f"{file.name}: the first line states no `// expect: REGEX`")
        elif said is None:
            wrong.append(f"{file.name}: compiles, and must not")
        elif not re.search(expected[1], said):
            wrong.append(f"{file.name}: fails for another reason than /{expected[1]}/: {said}")
        else:
            print(f"{file.name}: does not compile, as it must")
    if not programs:
        wrong.append("no program was found")
    sys.exit("\n".join(wrong) or 0)


main()
