"""Prints compile_commands.json for the sources given: compile_commands.py "cc flags" FILE..."""
import json
import os
import sys

command, sources = sys.argv[1], sys.argv[2:]
print(json.dumps([{"directory": os.getcwd(), "command": f"{command} -c {source}", "file": source} for source in sources], indent=1))
