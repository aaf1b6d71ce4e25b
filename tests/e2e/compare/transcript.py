"""What a proxy has seen, as a list of requests that can be sent again (script.py): numbers that came from answers become references to
them, and requests that a client repeats over and over are kept a few times only."""
import re

from compare.script import answer_value, is_stream

KEEP = 3  # of requests that differ in nothing but numbers of answers
DROPPED_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}
FIELDS = "lease|ID|mod_revision|create_revision|start_revision|modRevision|createRevision|startRevision|revision"
NUMBER = re.compile(rf'((?:prevIndex|waitIndex)=|"(?:{FIELDS})"\s*:\s*"?)([1-9]\d*)')
QUEUE_KEY = re.compile(r"/v2/keys((?:/[^/?]+)*/0\d{19})")
TOLD = ("ID", "revision", "mod_revision", "create_revision", "modifiedIndex", "createdIndex", "lease")


def numbers(value, path=""):
    """(path, number) of what an answer told, the most specific first."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in TOLD + ("#index",) and str(inner).isdigit():
                yield f"{path}{key}", int(inner)
            else:
                yield from numbers(inner, f"{path}{key}.")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers(inner, f"{path}{i}.")


class Transcript:
    def __init__(self, exchanges):
        self.exchanges, self.kept, counts = exchanges, [], {}
        for i, e in enumerate(exchanges):
            masked = (e.method, self.mask(e.target), self.mask(e.body.decode()))
            counts[masked] = counts.get(masked, 0) + 1
            if e.status is not None and (counts[masked] <= KEEP or e.target.endswith("/lease/grant")):  # others speak of its id
                self.kept.append(i)
        self.headers, self.unresolved = {}, 0
        self.values = {i: self.value(exchanges[i]) for i in self.kept}

    @staticmethod
    def value(exchange):
        return answer_value(exchange.target, exchange.answer_headers, exchange.answer.decode("utf-8", "replace"))

    @staticmethod
    def mask(text):
        return NUMBER.sub(r"\1N", text)

    def resolve(self, before, text):
        """Numbers in a request are those that an answer told before it was sent."""
        def one(found):
            number = int(found.group(2))
            for plus in (0, 1):
                reference = self.told(before, number - plus)
                if reference is not None:
                    return f"{found.group(1)}{{{{{reference}{'+1' if plus else ''}={number}}}}}"
            self.unresolved += 1
            return found.group(0)
        return QUEUE_KEY.sub(lambda m: self.queue_key(before, m), NUMBER.sub(one, text))

    def queue_key(self, before, found):
        """A name that etcd gave, in order: the answer to the POST has it."""
        for i in reversed([k for k in self.kept if k < before]):
            if self.values[i].get("node", {}).get("key") == found.group(1):
                return f"/v2/keys{{{{{i}:node.key={found.group(1)}}}}}"
        return found.group(0)

    def told(self, before, number):
        """LABEL:PATH of where it was told last. Not in a stream or a directory of v2: what comes in one message, and in which order a
        directory is listed, is chance."""
        for i in reversed([k for k in self.kept if k < before and not is_stream(self.exchanges[k].target)]):
            paths = [p for p, n in numbers(self.values[i]) if n == number and ".nodes." not in p]
            if paths:
                return f"{i}:{min(paths, key=lambda p: ('header' in p, '#' in p, len(p)))}"
        return None

    def header_name(self, exchange):
        wanted = tuple((n, v) for n, v in exchange.headers if n.lower() not in DROPPED_HEADERS)
        if not wanted:
            return None
        return self.headers.setdefault(wanted, f"h{len(self.headers)}")

    def lines(self):
        """Requests, and where the answers of streams had their end."""
        out, ends = [], {}
        for i in self.kept:
            e = self.exchanges[i]
            if e.ended_after is None or e.ended_after > i + 1 or e.hung_up:
                ends.setdefault(e.ended_after if e.ended_after is not None else len(self.exchanges), []).append(i)
        for i in range(len(self.exchanges) + 1):
            for ended in ends.get(i, []):
                e = self.exchanges[ended]
                if is_stream(e.target):
                    out.append(f"!{'hangup' if e.hung_up or e.ended_after is None else 'end'} {ended}")
            if i in self.kept:
                e = self.exchanges[i]
                name = self.header_name(e)
                out.append(f"{i}: {e.method} {'%' + name + ' ' if name else ''}{self.resolve(i, e.target)}")
                if e.body:
                    body = self.resolve(i, e.body.decode())
                    assert "\n" not in body, body
                    out.append(f"    {body}")
        named = [f"%{name} " + " | ".join(f"{n}: {v}" for n, v in wanted) for wanted, name in self.headers.items()]
        return named + out
