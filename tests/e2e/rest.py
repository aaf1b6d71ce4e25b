"""Requests to a member's REST interface, from the client's host."""
import json

SCOPE = "postgres"


def rest(rig, node, method, path, body=None):
    """Status and text of what it answers, however long it takes."""
    status, text = rig.request("client", node.rest_address, method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"}, timeout=120)
    return status, text.strip()


def document(rig, node):
    return json.loads(rest(rig, node, "GET", "/patroni")[1])
