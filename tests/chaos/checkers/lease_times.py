"""The times of docs/consensus.md, section 2, in nanoseconds."""
import collections

MS = 1_000_000
RHO = 500e-6
DF_MS = 250  # from "deadline reached" to "no backend can commit"

Times = collections.namedtuple("Times", "T K S")


def times(ttl_ms):
    k = ttl_ms - max(ttl_ms / 10, 400)
    return Times(ttl_ms * MS, k * MS, (k - max(ttl_ms / 15, 200)) * MS)


def loop_wait(history):
    return history.run["loop_wait_ms"] * MS


def factor(history):
    """By which bounds of time are stretched on a loaded host."""
    return history.run.get("load_factor", 1)
