"""What an operator sets of PostgreSQL, with an etcd as the store and the document's own file; see settings.py."""
import pytest

from settings import *  # noqa: F401,F403

STORE = "etcd3"
pytestmark = pytest.mark.rest
