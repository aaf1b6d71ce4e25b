"""etcdctl's v3 commands, one a line, and what they print. `|||` parts the arguments from lines of standard input; `\\n` there is a new line.

    put a 1
    2: get a -w json            a label; {{LABEL:PATTERN}} is what the first group of the pattern found in that command's output
    &w: watch a                 goes on while those that follow are run; ended by `end w`, and its output is compared
    await w                     until it has printed something more since it began or was last awaited
    end w
    sleep 1
"""
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time

ENV = dict(os.environ, ETCDCTL_API="3")
REVISION = re.compile(r'("(?:mod_|create_|compact_|)revision":|"(?:Mod|Create|)Revision" : |progress notify: |compacted revision )(\d+)')
REFERENCE = re.compile(r"\{\{(\w+):(.*?)\}\}")
STARTS_S = 0.3  # at least, until a command in the background is at work
STARTS_GETS = 5  # and on a busy machine as long as so many gets take now
AWAIT_S = 20


@dataclasses.dataclass
class Command:
    label: str
    line: str
    stdin: str
    background: bool

    def text(self):
        return f"etcdctl {self.line}"


def read(path):
    out = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        found = re.match(r"(&?)(\w+): (.*)", line)
        background, label, line = found.groups() if found else ("", f"line{number}", line)
        line, _, stdin = line.partition(" ||| ")
        out.append(Command(label, line, stdin.replace("\\n", "\n"), bool(background)))
    return out


def etcdctl(endpoint, args, stdin=""):
    return subprocess.run(["/usr/bin/etcdctl", "--endpoints", endpoint, *args], input=stdin, capture_output=True, text=True, env=ENV, timeout=30)


def settle(endpoint):
    """What was begun has reached the server, and what that sends has come, as far as a bystander can tell."""
    begin = time.monotonic()
    etcdctl(endpoint, ["get", "none"])
    time.sleep(max(STARTS_S, STARTS_GETS * (time.monotonic() - begin)))


class Background:
    """One command that goes on; its output is in files, so that it can be looked at before the end."""

    def __init__(self, step, args):
        self.step, self.seen = step, 0
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=self.out, stderr=self.err, text=True, env=ENV)
        self.child.stdin.write(step.stdin)
        self.child.stdin.flush()

    def wait_for_more(self):
        """The comparison tells, if nothing comes."""
        limit, last = time.monotonic() + AWAIT_S, self.seen
        while time.monotonic() < limit:
            time.sleep(0.1)
            now = os.fstat(self.out.fileno()).st_size
            if now == last > self.seen:  # all of it, if it came in parts
                break
            last = now
        self.seen = last

    def end(self):
        """(status, output, errors)"""
        self.child.send_signal(signal.SIGINT)
        self.child.wait(timeout=10)  # with its standard input open: its end would be a second reason to stop
        self.child.stdin.close()
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        status = self.child.returncode
        return "interrupted" if status in (0, -signal.SIGINT) else status, *texts


class Normal:
    """Output with identifiers as names in the order of their coming up, and other figures of the server's own as such;
    revisions count from `base`."""

    def __init__(self, endpoint, base):
        self.endpoint, self.base, self.symbols = endpoint, base, {}

    def symbol(self, found):
        return self.symbols.setdefault(self.canonical(found.group(0)), f"<id {len(self.symbols) + 1}>")

    @staticmethod
    def canonical(text):
        """An identifier is printed in hexadecimal by some commands, in decimal by others."""
        return int(text) if text.isdigit() and len(text) > 16 else int(text, 16)

    def text(self, text):
        text = text.replace(self.endpoint, "<endpoint>").replace(f"http://{self.endpoint}", "<endpoint>")
        text = re.sub(r"\bmember\d\b", "<name>", text)
        text = re.sub(r"http://127\.0\.0\.1:\d+", "<peer>", text)
        text = re.sub(r'("(?:raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|hash)":)\d+', r"\1<figure>", text)
        text = re.sub(r'("?(?:RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse|DbSizeInUse|Hash)"? ?: ?)\d+', r"\1<figure>", text)
        text = re.sub(r'(took = |took |"took":")[\d.]+(ms|µs|s)', r"\1<time>", text)
        text = re.sub(r"attached keys\(\[(.*)\]\)", lambda m: f"attached keys({sorted(m.group(1).split())})", text)
        text = re.sub(r'"ts":"[^"]*"', '"ts":"<time>"', text)
        text = REVISION.sub(lambda m: m.group(1) + (f"r{int(m.group(2)) - self.base:+d}" if m.group(2) != "0" else "0"), text)
        text = re.sub(r"endpoint://client-[0-9a-f-]+/", "endpoint://<client>/", text)
        text = re.sub(r'"target":"[^"]*"', '"target":"<target>"', text)
        text = re.sub(r"remaining\(\d+s\)", "remaining(<time>)", text)
        text = re.sub(r'"ttl":\d+', '"ttl":<time>', text)
        text = re.sub(r"\b(?:\d{17,20}|[0-9a-f]{14,16})\b", self.symbol, text)
        return re.sub(r'("leader":|"Leader" : )<id \d+>', r"\1<member>", text)


def any_member(line):
    """Members come by their identifiers, or as they answer, and so in any order."""
    line = re.sub(r"<id \d+>", "<id>", line).replace("http://<endpoint>", "<peer>")
    return re.sub(r"-{3,}", "---", re.sub(r" +", " ", line))


def run(endpoint, steps):
    """{label: what it printed}"""
    base = json.loads(etcdctl(endpoint, ["get", "none", "-w", "json"]).stdout)["header"]["revision"]
    normal, answers, raw, running = Normal(endpoint, base), {}, {}, {}

    def finish(step, status, out, err):
        raw[step.label] = out
        lines = [normal.text(text).splitlines() for text in (out, err)]
        if step.line.startswith("lease list"):  # by their ends, in etcd
            lines = [sorted(part) for part in lines]
        if step.line.startswith("member list") or "--cluster" in step.line:
            lines = [sorted(any_member(line) for line in part) for part in lines]
        answers[step.label] = {"status": status, "out": lines[0], "err": lines[1]}
    for step in steps:
        words = shlex.split(REFERENCE.sub(lambda m: (re.search(m.group(2), raw[m.group(1)]) or [0, "0"])[1], step.line))
        if words[0] == "sleep":
            time.sleep(float(words[1]))
        elif words[0] == "await":
            running[words[1]].wait_for_more()
        elif words[0] == "end":
            settle(endpoint)
            child = running.pop(words[1])
            finish(child.step, *child.end())
        elif step.background:
            running[step.label] = Background(step, ["/usr/bin/etcdctl", "--endpoints", endpoint, *words])
            settle(endpoint)
        else:
            done = etcdctl(endpoint, words, step.stdin)
            finish(step, done.returncode, done.stdout, done.stderr)
    assert not running, "a command in the background was not ended"
    return answers
