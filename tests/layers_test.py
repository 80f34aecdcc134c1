"""The floors of the house hold: a file includes its own room and lower floors, never a sibling or a higher one, and a
third-party header only where its one wrapper lives. Exits 1 and names every breach.

usage: layers_test.py [TREE]   (default: this repository)
"""
import pathlib
import re
import sys
import tempfile

FLOORS = {
    "base": 0,
    "sys": 1, "net": 1, "chat": 1,
    "engine": 2, "wire": 2, "store": 2,
    "policy": 3, "guard": 3, "provider": 3,
    "gateway": 4,
    "know": 5, "agent": 5, "eval": 5, "tune": 5,
    "cli": 6,
}
SIBLINGS_ALLOWED = {("net", "sys")}

# Which files may include headers whose path begins so. A header of ours never may, but for what is named here.
WRAPPERS = {
    "boost/json/fwd.hpp": r"base/json\.(h|cc)",
    "boost/json": r"base/json\.cc",
    "boost/": r"net/[^/]+\.cc",
    "curl/": r"net/(fetch|client|curl_call|place)\.cc",
    "openssl/": r"(sys|net)/[^/]+\.cc",
    "toml++/": r"cli/config_toml\.cc",
    "CLI/": r"cli/[^/]+\.cc",
    "histedit.h": r"cli/line_editor\.cc",
    "tl/expected.hpp": r"base/result\.h|wire/fault\.h",
    "gtest/": r".*_test\.cc",
}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include(?:_next)?[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
# <x> without a folder and without ".h" is the standard library; with ".h" or these folders it is C's or the system's.
SYSTEM_FOLDERS = ("sys", "linux", "arpa", "netinet", "net", "asm")


def check_own(path, target, tree):
    room, other = path.split("/")[0], target.split("/")[0]
    if other == "testing":
        return None if path.endswith("_test.cc") else "only tests include testing/"
    if other not in FLOORS:
        return "no room of the house"
    if not (tree / "src" / target).is_file():
        return "no such file"
    if other == room or (room, other) in SIBLINGS_ALLOWED:
        return None
    if FLOORS[other] > FLOORS[room]:
        return f"{room} (floor {FLOORS[room]}) must not know {other} (floor {FLOORS[other]})"
    if FLOORS[other] == FLOORS[room]:
        return f"{room} and {other} are siblings"
    # The engine has one door; its rooms are its own affair. (Tests may look behind it.)
    if other == "engine" and target != "engine/engine.h" and not path.endswith("_test.cc"):
        return "engine/engine.h is the only header of the engine that others include"
    return None


def check_third_party(path, target):
    for prefix, files in WRAPPERS.items():
        if target == prefix or (target.startswith(prefix) and prefix.endswith(("/", "json"))):
            return None if re.fullmatch(files, path) else f"only {files} wraps {prefix}"
    if "/" in target and target.split("/")[0] not in SYSTEM_FOLDERS:
        return "a third-party header that no row of WRAPPERS knows"
    return None


def breaches(tree):
    tree = pathlib.Path(tree)
    found = []
    for file in sorted((tree / "src").rglob("*")):
        if file.suffix not in (".h", ".cc"):
            continue
        path = file.relative_to(tree / "src").as_posix()
        if "/" not in path or path.split("/")[0] not in FLOORS:
            found.append((path, 0, "", "stands in no room of the house"))
            continue
        text = file.read_text()
        for match in INCLUDE.finditer(text):
            quote, target = match.groups()
            why = check_own(path, target, tree) if quote == '"' else check_third_party(path, target)
            if why:
                found.append((path, text.count("\n", 0, match.start()) + 1, target, why))
    return found


BAD_TREE = {
    "base/text.h": ('#include "net/server.h"\n', 1),                                     # higher
    "net/server.h": ('#include <vector>\n#include <boost/asio.hpp>\n', 1),               # leaked into a header
    "net/server.cc": ('#include "net/server.h"\n#include "sys/env.h"\n#include <boost/asio.hpp>\n', 0),
    "sys/env.h": ('#include <sys/mman.h>\n#include <unistd.h>\n', 0),
    "sys/env.cc": ('  #  include "net/server.h"\n', 1),                                  # siblings
    "wire/codec.cc": ('#include "store/models.h"\n', 1),                                 # siblings, indented or not
    "store/models.h": ('#include <curl/curl.h>\n', 1),
    "engine/engine.h": ('#include "base/text.h"\n', 0),
    "engine/run/pool.h": ('#include "engine/engine.h"\n', 0),
    "provider/local.cc": ('#include "engine/run/pool.h"\n', 1),                          # not by the door
    "gateway/route.cc": ('#include "cli/main.h"\n#include "base/gone.h"\n', 2),
    "cli/main.h": ('#include <fmt/core.h>\n', 1),                                        # unknown to the house
    "attic/thing.h": ("", 1),                                                            # no room
}


def prove_that_it_can_fail():
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        for path, (text, _) in BAD_TREE.items():
            (tree / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / "src" / path).write_text(text)
        counts = {path: 0 for path in BAD_TREE}
        for path, *_ in breaches(tree):
            counts[path] += 1
        expected = {path: count for path, (_, count) in BAD_TREE.items()}
        if counts != expected:
            sys.exit(f"layers: the check itself is broken on the made-up tree: found {counts}, expected {expected}")


if __name__ == "__main__":
    prove_that_it_can_fail()
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1]
    found = breaches(root)
    for path, line, target, why in found:
        print(f"src/{path}:{line}: includes {target}: {why}")
    files = sum(1 for f in (pathlib.Path(root) / "src").rglob("*") if f.suffix in (".h", ".cc"))
    if files == 0:
        sys.exit("layers: no source was found")
    if found:
        sys.exit(f"layers: {len(found)} breaches")
    print(f"layers: {files} files hold to the floors")
