#!/usr/bin/python3
"""Cases for test_yaml_python.c from PyYAML itself, one JSON object a line:
{"plain": text, "value": ...}     what PyYAML makes of an unquoted scalar (dates become text; what it refuses is left out)
{"document": text, "value": ...}  what it makes of a document
{"value": ..., "dump": text}      how it writes a value, as patronictl calls it
The seed is the argument; the same seed gives the same cases."""
import datetime
import json
import math
import random
import sys

import yaml

rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)

PLAIN = """on off yes no true false On OFF Yes NO True FALSE oN y n Y N ~ null Null NULL nUll 0 00 07 0777 08 09 0o17 0x1F 0X1F
0xfg 0b101 0b102 -0x10 +12 -12 1_000 _1 1_ 0_ -0 +0 12:30:45 12:30 1:2:3 12:60 1:5 190:20:30 -1:30 12:30:45.5 1e3 1.0e3 1.0e+3
1.5E-3 1. .5 -.5 +.5 . .. 1.2.3 1_0.5_0 0.1 3.0 100.0 1e+3 .5e+3 -1. +1.5 2026-11-24 2026-1-2 2026-11-24T10:20:30Z
2026-11-24t10:20:30.5+01:00 = << a a-b foo:bar 1a 0x 0b 9223372036854775807 -9223372036854775807 1:1:1:1 01:30 0.0 -0.0
1_2:3_0 12:3_0 0x_1 0b_1 1__2 replica 8MB 10.0.0.1 10.0.0.1:5432 ::1""".split()
ALPHABET = "0123456789_:.+-eExobnaNtTyYfF~<=O "
WORDS = PLAIN + ["", " a", "a ", "a: b", "a #b", "#a", "- a", "-", "?", "[a", "{a", "a]", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a",
                 "'a'", '"a"', "it's", 'say "x"', "a\nb", "a\n", "\n", "tab\there", "caf\u00e9", "\u4e2d\u6587", "a\\b", "C:\\x", "---",
                 "...", "--- a", "a,b", "a: ", ":a", "a:", "host all all 0.0.0.0/0 md5", "\u0007bell", "\u2028", "\ufeffx",
                 "long " * 60, "x" * 250, "words that go on and on " * 20]


def plain_json(value):
    """False: JSON cannot hold it."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return True
    if isinstance(value, int):
        return -2**63 < value < 2**63
    return False


def emit(**case):
    print(json.dumps(case))


def emit_plain(text):
    if not text or text != text.strip() or text[0] in "<=#&*!|>'\"%@`,[]{}?" and text not in ("=", "<<"):
        return
    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
        scalars = [e for e in events if isinstance(e, yaml.ScalarEvent)]
        if len(scalars) != 1 or len(events) != 5 or scalars[0].value != text:
            return
        value = text if text in ("=", "<<") else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return
    if isinstance(value, (datetime.date, datetime.datetime)):
        value = text
    if plain_json(value):
        emit(plain=text, value=value)


def random_scalar():
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind == 1:
        return rng.randrange(-10**rng.randrange(1, 18), 10**18)
    if kind == 2:
        return rng.choice([0.5, 1.0, 1e17, 1e-7, 123456789.125, 1e16, 1.5e300, -2.5, 0.1, 1 / 3, 1e15, 0.0001])
    if kind == 3:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.randrange(0, 9)))
    return rng.choice(WORDS)


def random_value(depth):
    kind = rng.randrange(6) if depth < 4 else 5
    if kind < 2:
        return {rng.choice(WORDS[:120] + ["ttl", "loop_wait", "a b"]): random_value(depth + 1) for _ in range(rng.randrange(0, 5))}
    if kind == 2:
        return [random_value(depth + 1) for _ in range(rng.randrange(0, 4))]
    return random_scalar()


def clean(value):
    """Keys that are not empty, without line ends, of at most 100 characters: the others take the "? " form in PyYAML, and no
    configuration has them."""
    if isinstance(value, dict):
        return {k[:100]: clean(v) for k, v in value.items() if k and "\n" not in k}
    return [clean(v) for v in value] if isinstance(value, list) else value


DOCUMENTS = [
    "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n",
    "a: &x {b: 1}\ny: &y {b: 2, z: 3}\nd: {<<: [*x, *y], q: 1}\n",
    "a: !!str 12\nb: !!int '12'\nc: '12'\nd: \"on\"\ne: !!float '1.5'\nf: !!null ''\n",
    "- a\n-\n  - b\n  - c: d\n    e:\n",
    "a: |\n  line 1\n  line 2\nb: >\n  folded\n  text\n",
    "a: [1, two, {three: 3}]\nb: {}\nc: []\n",
    "# nothing\n",
    "a: b # comment\n'c d': e\n",
    "x: &n [1, 2]\ny: *n\nz: [*n, *n]\n",
]


def main():
    for text in PLAIN:
        emit_plain(text)
    for _ in range(4000):
        emit_plain("".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 10))))
    for text in DOCUMENTS:
        emit(document=text, value=yaml.safe_load(text))
    for _ in range(1500):
        value = clean(random_value(0))
        if isinstance(value, (dict, list)):
            dump = yaml.safe_dump(value, default_flow_style=False, allow_unicode=True, width=200)
            emit(value=value, dump=dump)


main()
