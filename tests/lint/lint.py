#!/usr/bin/python3
"""What the compiler does not check: the arrows between rooms, purity, banned calls, sizes, that the simulator links what
the program links, that keys of the configuration are documented and tested (keys.py). Run from the root of the tree; prints "file:line: what is wrong" and ends with status 1."""
import pathlib
import re
import subprocess
import sys

import keys

ROOMS = ("base", "raft", "pgctl", "agent")
FILE_LINES_MAX = 1000
FUNCTION_LINES_MAX = 70

# Who may include whom. The longest prefix of the including file counts; a header is named as in its #include.
# Everything may include its own folder. Public headers (include/<room>/) are written "<room>:public".
ARROWS = {
    "base/net": ["base"],
    "base": ["base"],
    "raft/etcd": ["raft/etcd", "raft:public", "base:public"],
    "raft": ["raft/engine", "raft/store", "raft:public", "base:public"],
    "pgctl": ["pgctl", "base:public"],
    "agent/ha": ["agent/ha", "base:public", "pgctl/pg_types.h", "pgctl/pg_parse.h"],
    "agent/config": ["agent/config", "base:public", "pgctl:public"],
    "agent/dcs": ["agent/dcs", "agent/ha", "base:public", "raft:public"],
    "agent/loop": ["agent/loop", "agent/ha", "agent/dcs", "agent/config", "agent/version.h", "base:public", "pgctl:public",
                   "raft:public"],
    "agent/api": ["agent/api", "agent/loop", "agent/ha", "agent/dcs", "agent/config", "agent/version.h", "base:public",
                  "pgctl:public", "raft:public"],
    "agent/cli": ["agent/cli", "agent/api", "agent/ha", "agent/dcs", "agent/config", "agent/app.h", "agent/witness.h", "agent/validate.h",
                  "agent/generate.h", "agent/version.h", "base:public", "raft:public"],
    "agent": ["agent", "base:public", "pgctl:public", "raft:public"],
}

# Rooms, and single files elsewhere, that may not see the world outside.
PURE = ("raft/store/", "pgctl/parse/", "pgctl/conf/", "agent/ha/")
PURE_FILES_MARK = re.compile(r"\A/\*\s*PURE\.")
IMPURE_HEADERS = re.compile(
    r"^(uv\.h|libpq-fe\.h|openssl/.*|curl/.*|sqlite3\.h|unistd\.h|time\.h|fcntl\.h|poll\.h|pthread\.h|signal\.h|dirent\.h"
    r"|netdb\.h|pwd\.h|sys/.*|arpa/(?!nameser\.h$).*|netinet/.*)$")
IMPURE_CALLS = re.compile(
    r"\b(getenv|setenv|fopen|freopen|remove|rename|time|clock|gettimeofday|clock_gettime|localtime_r?|rand|srand|random"
    r"|rand_r|drand48|getrandom|fork|clock_real|random_real|log_(?:write|error|warning|info|debug))\s*\(")

BANNED_CALLS = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atoll|atof|system|sleep|usleep|nanosleep|alloca)\s*\(")
HEAP_CALLS = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf)\s*\(")
HEAP_EXEMPT = ("base/mem.c",
               "raft/engine/node.c")  # libraft's own table of heap functions: realloc and aligned memory
UNFINISHED = re.compile(r"\b(FIX" r"ME|TO" r"DO|XX" r"X)\b")  # split, so as not to find itself

# Functions that the simulator gives itself; everything else has to come from the archives. All are effects: the clocks, the
# sink of the log, the socket to the fence process, connections to other hosts, the group (directory, port, links) round the node.
SIMULATED = {"clock_real", "random_real", "log_write",
             "fence_client_adopt", "fence_client_connected", "fence_client_end", "fence_client_page", "fence_client_status", "fence_client_watchdog",
             "raft_group_node", "peers_peer", "peers_tell", "tcp_connect_start", "tcp_connect_cancel"}
# Functions that it looks at on their way (--wrap): it calls the real one and spoils it only where a seeded fault says so.
WRAPPED = {"store_apply", "store_leases_due", "fopen", "ha_sync_key_read", "ha_sync_next", "ha_rules_run"}
# Rooms whose shipping objects the simulator has to run.
SIMULATED_ROOMS = ("raft/engine", "raft/store", "agent/ha", "pgctl/fence")

faults = []


def fault(path, line, text):
    faults.append(f"{path}:{line}: {text}")


def without_comments_and_strings(text):
    """Same length in lines; comments and the insides of literals are blank."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


class Source:
    def __init__(self, path):
        self.path = path
        self.text = pathlib.Path(path).read_text(encoding="utf-8")
        self.code = without_comments_and_strings(self.text)
        self.includes = [(self.text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2))
                         for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', self.text, re.M)]

    def lines(self, pattern):
        for match in pattern.finditer(self.code):
            yield self.code.count("\n", 0, match.start()) + 1, match.group(1)


def tracked(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted(name for name in names if name and pathlib.Path(name).is_file())


def resolve(path, name, files):
    """The file of the tree behind #include "name", or None."""
    for candidate in (f"include/{name}", name, str(pathlib.PurePosixPath(path).parent / name)):
        if candidate in files:
            return candidate
    return None


def check_arrows(source, files):
    room = max((prefix for prefix in ARROWS if source.path.startswith(prefix + "/")), key=len, default=None)
    for line, quote, name in source.includes:
        if quote != '"':
            continue
        target = resolve(source.path, name, files)
        if target is None:
            fault(source.path, line, f'no file for "{name}" in the tree')
        elif room is not None and not arrow_allowed(room, name, target):
            fault(source.path, line, f'{room} may not include "{name}": no such arrow between the rooms')
        elif source.path.startswith("include/") and not target.startswith("include/"):
            fault(source.path, line, f'a public header may not include the private "{name}"')
        elif source.path.startswith("include/base/") and not name.startswith("base/"):
            fault(source.path, line, f'base may not include "{name}": it is the ground floor')


def arrow_allowed(room, name, target):
    for allowed in ARROWS[room]:
        if allowed.endswith(":public"):
            if name.startswith(allowed[:-7] + "/") and target.startswith("include/"):
                return True
        elif name == allowed or name.startswith(allowed + "/"):
            return True
    return False


def reachable(source, sources, files):
    """System headers that a file sees, through headers of the tree too: {header: first way there}."""
    seen, found, queue = set(), {}, [(source, [])]
    while queue:
        here, way = queue.pop()
        for _, quote, name in here.includes:
            if quote == "<":
                found.setdefault(name, way)
                continue
            target = resolve(here.path, name, files)
            if target in sources and target not in seen:
                seen.add(target)
                queue.append((sources[target], way + [target]))
    return found


def check_pure(source, sources, files):
    if not source.path.startswith(PURE) and not PURE_FILES_MARK.match(source.text):
        return
    for header, way in reachable(source, sources, files).items():
        if IMPURE_HEADERS.match(header):
            fault(source.path, 1, f"PURE, but sees <{header}>" + (f" through {' -> '.join(way)}" if way else ""))
    for line, name in source.lines(IMPURE_CALLS):
        fault(source.path, line, f"PURE, but calls {name}()")


def check_calls(source):
    for line, name in source.lines(BANNED_CALLS):
        fault(source.path, line, f"{name}() is banned")
    if source.path not in HEAP_EXEMPT:
        for line, name in source.lines(HEAP_CALLS):
            fault(source.path, line, f"{name}() outside base/mem.c")


def check_own_header_first(source, files):
    if not source.path.endswith(".c") or not source.includes:
        return
    header = source.path[:-2] + ".h"
    names = [name for name in (header, "include/" + header) if name in files]
    first = resolve(source.path, source.includes[0][2], files)
    if names and first not in names:
        fault(source.path, source.includes[0][0], f"does not include its own header first ({names[0]})")


def check_sizes(source):
    lines = source.text.split("\n")
    if len(lines) - 1 > FILE_LINES_MAX:
        fault(source.path, FILE_LINES_MAX, f"{len(lines) - 1} lines: a file has {FILE_LINES_MAX} at most")
    start = None
    for number, line in enumerate(source.code.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                fault(source.path, start, f"a function of {number - start - 1} lines: {FUNCTION_LINES_MAX} at most")
            start = None


def check_unfinished(path):
    if path.startswith("tests/lint/"):
        return
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return  # fuzz corpora and golden bytes
    for match in UNFINISHED.finditer(text):
        fault(path, text.count("\n", 0, match.start()) + 1, f"{match.group(1)} left behind")


# --- the simulator ---------------------------------------------------------------------------------------------------


def link_lines(target, output):
    """(objects, archives, wrapped functions) that make would link `output` from. Nothing is built. None: no such link."""
    run = subprocess.run(["make", "-n", "-B", "--no-print-directory", target], capture_output=True, text=True, check=False)
    for line in run.stdout.splitlines():
        words = line.split()
        if "-o" in words and re.search(output, words[words.index("-o") + 1]) and "-c" not in words:
            return ({word for word in words if word.endswith(".o")}, {word for word in words if word.endswith(".a")},
                    set(re.findall(r"--wrap=(\w+)", line)))
    return None


def defined_symbols(paths):
    run = subprocess.run(["nm", "-g", "--defined-only", "-P", *paths], capture_output=True, text=True, check=False)
    return {line.split()[0] for line in run.stdout.splitlines() if len(line.split()) >= 2 and not line.endswith(":")}


def check_simulator(sources):
    for path, source in sources.items():
        if path.startswith("tests/") and not path.startswith("tests/lint/"):
            for line, _, name in source.includes:
                if name.endswith(".c"):
                    fault(path, line, f'"{name}": a test links the objects of the program, it does not compile its own')
    sim, program = link_lines("sim", r"/sim$"), link_lines("all", r"/pgquorum$")
    if sim is None or program is None:
        fault("Makefile", 1, "make -n does not tell what the simulator (target sim) and pgquorum are linked from")
        return
    if not sim[1] <= program[1]:
        fault("Makefile", 1, f"the simulator links what pgquorum does not: {sorted(sim[1] - program[1])}")
    for room in SIMULATED_ROOMS:
        if not any(archive.endswith(f"/lib{room.replace('/', '_')}.a") for archive in sim[1]):
            fault("Makefile", 1, f"the simulator does not link the program's {room}")
    if not sim[2] <= WRAPPED:
        fault("Makefile", 1, f"the simulator wraps {sorted(sim[2] - WRAPPED)}, which lint does not know")
    foreign = sorted(o for o in sim[0] if "/tests/" not in o)
    if foreign:
        fault("Makefile", 1, f"the simulator links objects beside the archives: {foreign}")
    missing = sorted(path for path in sim[0] | sim[1] if not pathlib.Path(path).exists())
    if missing:
        fault("tests/sim", 1, f"is not built: {missing[0]} (make lint builds it)")
        return
    for symbol in sorted((defined_symbols(sim[0]) & defined_symbols(sim[1])) - SIMULATED - {"main"}):
        fault("tests/sim", 1, f"defines {symbol}, which the program defines too: the simulator would run its own")


def main():
    names = tracked("*.c", "*.h")
    files = set(names) | set(tracked("*.def"))
    sources = {name: Source(name) for name in names}
    for name, source in sources.items():
        check_arrows(source, files)
        check_sizes(source)
        if name.startswith("tests/"):
            continue
        check_pure(source, sources, files)
        check_calls(source)
        check_own_header_first(source, files)
    for name in tracked():
        check_unfinished(name)
    faults.extend(keys.faults())
    check_simulator(sources)
    for text in faults:
        print(text)
    print(f"lint: {len(names)} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
