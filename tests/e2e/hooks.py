"""Commands of the operator in a member's file, and what they have noted in the directory of its agent."""
import os

EVENTS = ("on_start", "on_stop", "on_restart", "on_reload", "on_role_change")


def command(name, then="true"):
    """Notes its arguments in calls.<name>, then does something else."""
    return f"""sh -c 'echo "$@" >> calls.{name}; {then}' {name}"""


def callbacks(then="true"):
    return "  callbacks:\n" + "".join(f"    {event}: {command('events', then)}\n" for event in EVENTS)


def calls(node, name="events", reloads=False):
    """A line each, in order; of events without the scope, which is always the same."""
    path = os.path.join(node.home, "calls." + name)
    if not os.path.exists(path):
        return []
    with open(path) as f:
        lines = f.read().splitlines()
    if name != "events":
        return lines
    assert all(line.endswith(" postgres") for line in lines), lines
    return [line[:-len(" postgres")] for line in lines if reloads or not line.startswith("on_reload")]


def forget(r):
    for node in r.nodes.values():
        path = os.path.join(node.home, "calls.events")
        if os.path.exists(path):
            os.remove(path)
