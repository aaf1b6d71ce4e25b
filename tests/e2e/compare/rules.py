"""The differences from etcd that are meant, one rule for each line of the table in docs/etcd.md."""
import dataclasses
import re

from compare.normal import differences
from compare.script import at


@dataclasses.dataclass
class Difference:
    """At `path` of the answers to `request` etcd has `etcd`, and we have `ours`; None = nothing. Whole answers besides."""
    request: str
    path: str
    etcd: object
    ours: object
    etcd_answer: dict
    our_answer: dict

    def is_at(self, pattern):
        return re.search(pattern, self.path) is not None

    def asks(self, pattern):
        return re.search(pattern, self.request) is not None

    def of_directory(self):
        """It is a field of a node that is a directory for both."""
        place = self.path.rpartition(".")[0]
        return all((at(answer, place) or {}).get("dir") for answer in (self.etcd_answer, self.our_answer))


def is_not_served(d):
    body, errors = d.our_answer.get("body"), d.our_answer.get("err", [])
    told = body.get("error", "") if isinstance(body, dict) else ""
    return any("not supported by pgquorum" in text for text in [told, *errors])


def is_compacted(answer):
    return "compact_revision" in str(answer.get("body")) or "compacted" in str(answer.get("err"))


def events(messages):
    """Of v2, without the indexes of directories."""
    return [(m["action"], m["node"]["key"], m["node"]["modifiedIndex"]) for m in messages]


RULES = {
    "directories": lambda d: d.is_at(r"(created|modified)Index$") and d.of_directory(),
    "paths": lambda d: d.asks(r"^\w+ /v2/keys/?(/|.*/\.\.?/|\./)") and d.etcd_answer["status"] == 301,
    "members": lambda d: d.asks(r"^(POST|PUT|DELETE) /v2/members") and d.our_answer["status"] == 403,
    "not served": is_not_served,
    "statistics": lambda d: d.asks(r"^GET /v2/stats/self") and d.is_at(r"(recv|send)(Pkg|Bandwidth)Rate$") and d.ours is None,
    "first revision": lambda d: (d.asks(r'"start_revision":"1"|watch --rev=1 ') and is_compacted(d.our_answer)) or d.asks("endpoint hashkv"),
    "status": lambda d: d.is_at(r"dbSizeQuota$") and d.etcd is None,
    "token": lambda d: d.asks(r"^POST /v3/kv/range") and d.etcd_answer["status"] == 401,
    "sort": lambda d: d.asks(r"--sort-by=CREATE --limit"),
    "gateway": lambda d: d.asks(r"^POST /v3$"),
    "stream": lambda d: d.asks(r"stream=true&waitIndex") and d.is_at(r"messages$") and d.ours[:len(d.etcd)] == d.etcd,
    "deleted directory": lambda d: d.asks(r"^GET /v2/.*recursive=true&stream=true$") and d.is_at(r"messages$")
    and events(d.ours) == list(dict.fromkeys(events(d.etcd))),
    "watch below": lambda d: d.asks(r"^GET /v2/keys/w/q/deeper\?wait=true"),
}


def explain(steps, etcd, ours):
    """(texts of the differences that no rule explains, {rule: how many it explained})"""
    unexplained, used = [], {}
    for step in steps:
        label = getattr(step, "label", None)
        if label not in etcd and label not in ours:
            continue
        one, other = etcd.get(label, {}), ours.get(label, {})
        for path, value, our_value in differences(one, other):
            found = Difference(step.text(), path, value, our_value, one, other)
            name = next((name for name, holds in RULES.items() if holds(found)), None)
            if name is None:
                unexplained.append(f"{label}: {step.text()[:300]}\n    {path}\n      etcd {value!r}\n      ours {our_value!r}")
            else:
                used[name] = used.get(name, 0) + 1
    return unexplained, used
