#!/usr/bin/python3
"""The table of keys, agent/config/keys.def: writes the tables that pages of docs have of it (`make docs`), and, for lint, says
where pages, rows and tests do not go together. Run from the root of the tree: keys.py writes, keys.py --check only looks.

A page says where a table goes: `<!-- keys: raft -->` up to `<!-- keys end -->` has the served keys of list `raft`;
`<!-- keys: log=log watchdog=watchdog -->` those of two lists, as `log.level` and `watchdog.mode`. `<!-- keys refused -->`,
`<!-- keys without effect -->` and `<!-- keys of all members -->` have what their names say.
"""
import pathlib
import re
import sys
from collections import namedtuple

TABLE = "agent/config/keys.def"
PAGES = ("docs/configuration.md", "docs/etcd.md")
FIELDS = {
    "SECTION": "list key path keys default effect meaning",
    "KEY": "list key default values effect meaning test",
    "NO_EFFECT": "list key instead",
    "REFUSED": "list key why instead",
    "REFUSED_EMPTY": "list key why instead",
    "PARAMETER": "key default check minimum values test",
}
ROWS = {kind: namedtuple(kind, "line " + fields) for kind, fields in FIELDS.items()}
MARK = re.compile(r"(<!-- keys(?P<what>: [a-z0-9_= ]+| refused| without effect| of all members) -->\n)(?P<old>.*?)(<!-- keys end -->)", re.S)


class Fault(Exception):
    pass


def arguments(text, start):
    """The arguments of a macro call whose '(' is before `start`, and where it ends. Texts one after the other are one."""
    found, now, at = [], None, start
    while True:
        match = re.compile(r'\s+|"((?:[^"\\]|\\.)*)"|[A-Za-z0-9_]+|[,)]').match(text, at)
        if match is None:
            raise Fault(f"{TABLE}:{text.count(chr(10), 0, at) + 1}: cannot be read: give words, texts in quotes, and commas")
        at = match.end()
        word = match.group(0)
        if word.isspace():
            continue
        if word in ",)":
            found.append(now if now is not None else "")
            if word == ")":
                return found, at
            now = None
        elif match.group(1) is not None:
            now = (now or "") + match.group(1).replace('\\"', '"').replace("\\\\", "\\")
        else:
            now = word


def read():
    text = re.sub(r"^/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)), pathlib.Path(TABLE).read_text(encoding="utf-8"), flags=re.S | re.M)
    rows = []
    for match in re.finditer(r"^(\w+)\(", text, re.M):
        line, kind = text.count("\n", 0, match.start()) + 1, match.group(1)
        if kind not in FIELDS:
            raise Fault(f"{TABLE}:{line}: there is no kind of row called {kind}: give one of {', '.join(FIELDS)}")
        values, _ = arguments(text, match.end())
        if len(values) != len(FIELDS[kind].split()):
            raise Fault(f"{TABLE}:{line}: {kind} has {len(values)} fields: give {FIELDS[kind]}")
        rows.append(ROWS[kind](line, *values))
    return rows


def kind_of(row):
    return type(row).__name__


def table(heads, lines):
    text = "| " + " | ".join(heads) + " |\n|" + "---|" * len(heads) + "\n"
    return text + "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def served_table(rows, lists):
    lines = []
    for item in lists.split():
        prefix, _, name = item.rpartition("=")
        for row in rows:
            if kind_of(row) in ("KEY", "SECTION") and row.list == name and row.meaning:
                values = row.values if kind_of(row) == "KEY" else "mapping"
                lines.append((f"`{prefix + '.' if prefix else ''}{row.key}`", row.default, values, row.effect, row.meaning))
    return table(("key", "default", "values", "takes effect", "meaning"), lines)


def places(rows):
    """Where a list stands in the document, as pages call it."""
    named = {"top": "top level", "dynamic": "dynamic configuration"}
    for row in rows:
        if kind_of(row) == "SECTION" and row.keys not in named:
            named[row.keys] = f"`{row.path}`"
    return named


def refused_table(rows):
    groups = {}
    for row in rows:
        if kind_of(row).startswith("REFUSED"):
            groups.setdefault((row.list, row.why), []).append(f"`{row.key}`")
    named = places(rows)
    return table(("section", "keys", "why"), [(named[name], ", ".join(keys), why) for (name, why), keys in groups.items()])


def without_effect_table(rows):
    groups = {}
    for row in rows:
        if kind_of(row) == "NO_EFFECT":
            groups.setdefault(row.list, {}).setdefault(row.instead, []).append(f"`{row.key}`")
    named, lines = places(rows), []
    for name, by_remedy in groups.items():
        keys = [", ".join(of) + (f" ({instead})" if instead else "") for instead, of in by_remedy.items()]
        lines.append((named[name], "; ".join(keys)))
    return table(("section", "keys"), lines)


def parameters_table(rows):
    return table(("parameter", "default", "values"),
                 [(f"`{row.key}`", f"`{row.default}`", row.values) for row in rows if kind_of(row) == "PARAMETER"])


def page_of(rows, text):
    def fill(match):
        what = match.group("what")
        if what == " refused":
            made = refused_table(rows)
        elif what == " without effect":
            made = without_effect_table(rows)
        elif what == " of all members":
            made = parameters_table(rows)
        else:
            made = served_table(rows, what[2:])
        return match.group(1) + made + match.group(4)
    return MARK.sub(fill, text)


def test_exists(place):
    """A test that is there and runs: its file, and in it the function (in C also its line in main)."""
    path, _, name = place.partition("::")
    file = pathlib.Path("tests") / path
    if not file.is_file():
        return False
    if path.startswith("golden/"):
        return name == ""
    text = file.read_text(encoding="utf-8")
    if path.startswith("e2e/"):
        return re.search(rf"^def {re.escape(name)}\(", text, re.M) is not None
    return (re.search(rf"^static void {re.escape(name)}\(void \*\*", text, re.M) is not None
            and re.search(rf"^\s+\w+\({re.escape(name)}\b", text, re.M) is not None)


def faults_of_rows(rows):
    found, seen = [], set()
    shown = set()
    for page in PAGES:
        for match in MARK.finditer(pathlib.Path(page).read_text(encoding="utf-8")):
            shown |= {item.rpartition("=")[2] for item in match.group("what")[2:].split()}
    lists = {"top", "dynamic_postgresql"} | {row.keys for row in rows if kind_of(row) == "SECTION"}
    for row in rows:
        name = f"{getattr(row, 'list', 'parameters')}.{row.key}"
        where = f"{TABLE}:{row.line}: {name}"
        if name in seen:
            found.append(f"{where} is there twice: keep one row")
        seen.add(name)
        if kind_of(row) == "PARAMETER" or row.list in lists:
            pass
        else:
            found.append(f"{where}: no SECTION row has the list '{row.list}'")
        if kind_of(row) in ("KEY", "PARAMETER") and not test_exists(row.test):
            found.append(f"{where} is served, and its test '{row.test}' is not there: name one that observes what the key does")
        if kind_of(row) == "KEY" and row.list not in shown:
            found.append(f"{where} stands in no page: put <!-- keys: {row.list} --> into one of {', '.join(PAGES)}")
        if kind_of(row) == "KEY" and not (row.meaning and row.effect):
            found.append(f"{where} says nothing of its meaning, or of when it takes effect")
    return found


def faults():
    try:
        rows = read()
    except Fault as fault:
        return [str(fault)]
    found = faults_of_rows(rows)
    for page in PAGES:
        text = pathlib.Path(page).read_text(encoding="utf-8")
        if page_of(rows, text) != text:
            found.append(f"{page}:1: its tables are not those of {TABLE}: run 'make docs'")
    return found


def write():
    rows = read()
    for page in PAGES:
        path = pathlib.Path(page)
        text = path.read_text(encoding="utf-8")
        made = page_of(rows, text)
        if made != text:
            path.write_text(made, encoding="utf-8")
            print(f"  DOCS {page}")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        told = faults()
        print("\n".join(told))
        sys.exit(1 if told else 0)
    try:
        write()
    except Fault as broken:
        print(broken, file=sys.stderr)
        sys.exit(1)
