"""What an operator sets of PostgreSQL, on our own store; see settings.py."""
from settings import *  # noqa: F401,F403
