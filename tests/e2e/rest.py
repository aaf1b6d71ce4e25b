"""Requests to a member's REST interface, from the client's host."""
import json

from rig import PYTHON, run

SCOPE = "postgres"
REQUEST = """\
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], 8008, timeout=120)
c.request(sys.argv[2], sys.argv[3], sys.argv[4] or None, {"Content-Type": "application/json"})
r = c.getresponse()
print(r.status)
print(r.read().decode())
"""


def rest(rig, node, method, path, body=None):
    """Status and text of what it answers, however long it takes."""
    answer = run("ip", "netns", "exec", rig.namespace("client"), PYTHON, "-c", REQUEST, node.rest_address, method, path,
                 "" if body is None else json.dumps(body))
    status, _, text = answer.stdout.partition("\n")
    return int(status), text.strip()


def document(rig, node):
    return json.loads(rest(rig, node, "GET", "/patroni")[1])
