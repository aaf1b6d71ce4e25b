"""A list of requests as text, to be sent to more than one server. Written by hand, or by record.py.

    # a comment
    %patroni Accept-Encoding: identity | User-Agent: Patroni/3.0.2     headers that lines below name
    12: PUT %patroni /v2/keys/a?prevIndex={{3:node.modifiedIndex=7}}   a request; its label and headers may be left out
        value=b                                                        indented: its body
    !hangup 12     the client leaves the answer of a stream, once nothing more comes
    !end 12        that answer has come to its end
    !sleep 1.5

{{LABEL:PATH}} is what the answer to that request has at PATH (names and numbers with dots; #index is the header X-Etcd-Index), perhaps
with +1 behind it, and with =VALUE: what stands for it if there is no such thing.
"""
import dataclasses
import re

from etcd_client import objects

REFERENCE = re.compile(r"\{\{(\w+):([\w.#]+)((?:[+-]\d+)?)(?:=([^}]*))?\}\}")


@dataclasses.dataclass
class Request:
    label: str
    method: str
    target: str
    headers: list
    body: str

    def is_stream(self):
        return is_stream(self.target)

    def text(self):
        return f"{self.method} {self.target} {self.body}".strip()


@dataclasses.dataclass
class Step:
    what: str  # hangup | end | sleep
    argument: str


def is_stream(target):
    return re.match(r"/v3(beta)?/watch$", target) is not None or "wait=true" in target


def answer_value(target, headers, text):
    """What references look into: the answer, or of a stream its messages by number; with the header as "#index"."""
    found = objects(text)[0]
    value = {str(i): v for i, v in enumerate(found)} if is_stream(target) else found[0] if found else {}
    index = next((v for k, v in headers if k.lower() == "x-etcd-index"), None)
    return dict(value, **{"#index": index}) if isinstance(value, dict) and index is not None else value


def read(path):
    """Requests and steps, in order."""
    steps, headers = [], {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line == "" or line.startswith("#"):
                continue
            if line.startswith("%"):
                name, _, text = line[1:].partition(" ")
                headers[name] = [tuple(h.split(": ", 1)) for h in text.split(" | ")]
            elif line.startswith("!"):
                what, argument = line[1:].split()
                steps.append(Step(what, argument))
            elif line.startswith(" "):
                steps[-1].body += line.strip()
            else:
                steps.append(request(line, headers, number))
    return steps


def request(line, headers, number):
    found = re.fullmatch(r"(?:(\w+): )?([A-Z]+) (?:%(\w+) )?(\S+)", line)
    if not found:
        raise ValueError(f"line {number}: no request: {line}")
    label, method, name, target = found.groups()
    return Request(label or f"line{number}", method, target, list(headers[name]) if name else [], "")


def at(value, path):
    """What an answer has at a path; None = no such thing."""
    for part in path.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


def fill(text, lookup):
    """`lookup(label, path)` gives the value, or None."""
    def one(found):
        label, path, plus, default = found.groups()
        value = lookup(label, path)
        if value is None:
            return default or "0"
        return str(int(value) + int(plus)) if plus else str(value)
    return REFERENCE.sub(one, text)
