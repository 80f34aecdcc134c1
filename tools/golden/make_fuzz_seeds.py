#!/usr/bin/env python3
"""Makes the seeds of the template and tokenizer fuzz targets: fuzz/corpus/{template,tokenizer}/.

Usage: make_fuzz_seeds.py      (from the root of the checkout)

Templates: the families and snippets of testing/golden/templates.json, and the shapes of known attacks.
"""
import base64
import json
import os

ATTACKS = {
    "cve-2024-34359": "{% for x in ().__class__.__base__.__subclasses__() %}{% if 'warning' in x.__name__ %}{{ x()._module.__builtins__['__import__']('os').popen('id').read() }}{% endif %}{% endfor %}",
    "mro-walk": "{{ ''.__class__.__mro__[1].__subclasses__()[40]('/etc/passwd').read() }}",
    "globals-walk": "{{ raise_exception.__globals__['__builtins__'].eval('1') }}",
    "attr-filter": "{{ ()|attr('__class__')|attr('__base__') }}",
    "format-string": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "doubling": "{% set n = namespace(x='ab') %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "recursion": "{% macro f(a=f()) %}{{ f() }}{% endmacro %}{{ f() }}",
    "range": "{% for i in range(10**9) %}{{ i }}{% endfor %}",
    "deep": "{{ " + "(" * 200 + "1" + ")" * 200 + " }}",
    "cycle": "{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n] %}{{ n.l == n.l }}{{ n.l|tojson }}",
    "launder": "{% for m in messages %}{{ m.content[::-1]|list|join|replace('x', '')|upper }}{{ m|tojson }}{{ [m.content] }}{% endfor %}",
}


def write(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name.replace("/", "-").replace(".", "_")), "wb") as f:
        f.write(data)


def main():
    golden = json.load(open("testing/golden/templates.json", encoding="utf-8"))
    for name, source in golden["families"].items():
        write("fuzz/corpus/template", name, source.encode())
    for c in golden["cases"]:
        if "template" in c:
            write("fuzz/corpus/template", c["name"], c["template"].encode())
    for name, source in ATTACKS.items():
        write("fuzz/corpus/template", "attack-" + name, source.encode())
    lines = open("testing/corpus/tokens.b64").read().split()
    for i in range(48):
        text = b"".join(base64.b64decode(line) for line in lines[i * 3:i * 3 + 3])
        write("fuzz/corpus/tokenizer", "lines-%02d" % i, bytes([i % 6, 5 + i, 9]) + text)


main()
