"""Cycles of a graph of transactions, with edges that may not follow each other.

A way is made of edges of kinds; "rw" (an anti-dependency: read a version before the one that the other wrote) is special, the other kinds are
dependencies. Snapshot isolation forbids every cycle in which no two rw edges are neighbours; so a node has two states, and from the one
that was reached by an rw edge no rw edge leads on.
"""
import collections

STARTS = 64  # nodes of a core from which a shortest cycle is looked for


class Graph:
    """Nodes are numbers. `edges`: {kind: [(from, to), ...]}."""

    def __init__(self, count, edges, kinds):
        self.count = count
        self.out = [[] for _ in range(2 * count)]  # 2v: reached by a dependency, 2v + 1: by an rw edge
        for kind in kinds:
            for a, b in edges.get(kind, ()):
                if a == b:
                    continue
                if kind == "rw":
                    self.out[2 * a].append((2 * b + 1, kind))
                else:
                    self.out[2 * a].append((2 * b, kind))
                    self.out[2 * a + 1].append((2 * b, kind))

    def core(self):
        """States that are left when what leads nowhere and what nothing leads to is taken away: each lies on a cycle, or between two."""
        alive = peel(self.out, set(range(2 * self.count)))
        back = [[] for _ in self.out]
        for state in alive:
            for target, kind in self.out[state]:
                if target in alive:
                    back[target].append((state, kind))
        return peel(back, alive)

    def shortest_cycle(self, core):
        """[(node, kind of the edge that leaves it), ...], or None."""
        best = None
        for start in sorted(core)[:STARTS]:
            way = self.way(start, start, core, None if best is None else len(best) - 1)
            if way is not None:
                best = way
        return best

    def way(self, start, goal, within, limit=None, kinds=None):
        """Shortest way from a state to a state by at least one edge."""
        came, depth = {}, {start: 0}
        queue = collections.deque([start])
        while queue:
            state = queue.popleft()
            if limit is not None and depth[state] >= limit:
                return None
            for target, kind in self.out[state]:
                if target not in within or (kinds is not None and kind not in kinds):
                    continue
                if target == goal:
                    found = [(state // 2, kind)]
                    while state != start:
                        state, kind = came[state]
                        found.append((state // 2, kind))
                    return found[::-1]
                if target not in depth:
                    depth[target], came[target] = depth[state] + 1, (state, kind)
                    queue.append(target)
        return None


def peel(out, alive):
    """Without the states that no other state of those alive leads to, again and again."""
    degree = dict.fromkeys(alive, 0)
    for state in alive:
        for target, _ in out[state]:
            if target in degree:
                degree[target] += 1
    queue = [s for s, d in degree.items() if d == 0]
    while queue:
        state = queue.pop()
        del degree[state]
        for target, _ in out[state]:
            if target in degree:
                degree[target] -= 1
                if degree[target] == 0:
                    queue.append(target)
    return set(degree)


def chain(operations, first):
    """Edges of real time between operations [(begin, end or None, node), ...]: who ended before another began. Nodes from `first` on stand for moments;
    (edges, how many such nodes)."""
    edges = []
    ended = sorted((end, node) for _, end, node in operations if end is not None)
    for i, (_, node) in enumerate(ended):
        edges.append((node, first + i))
        if i > 0:
            edges.append((first + i - 1, first + i))
    i = 0
    for begin, _, node in sorted((b, e or 0, n) for b, e, n in operations):
        while i < len(ended) and ended[i][0] < begin:
            i += 1
        if i > 0:
            edges.append((first + i - 1, node))
    return edges, len(ended)
