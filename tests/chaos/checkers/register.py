"""Keys of the store are registers: each history is linearizable. The search is that of tests/e2e/check_register.py."""
import check_register
from checkers.result import Result

NAME = "register"
SHOWN_OPERATIONS = 50
CONDITIONS = {"not linearizable": "I8: no order of the operations explains what was seen"}


def check(history):
    result = Result(history, NAME, CONDITIONS)
    operations = [r for r in history.of("register") if r["op"] in ("read", "write", "cas") and r.get("key") is not None]
    result.looked = len(operations)
    keys = {}
    for operation in operations:
        keys.setdefault(operation["key"], []).append(operation)
    for key, own in keys.items():
        try:
            fault = check_register.check_key(own)
        except check_register.Undecided as error:
            result.undecided.append(f"{key}: {error}")
            continue
        except ValueError as error:
            fault = str(error)
        if fault is not None:
            result.fault("not linearizable", f"{key}: {fault}", *own[:SHOWN_OPERATIONS])
    result.numbers.update(keys=len(keys), most=max([len(own) for own in keys.values()], default=0),
                          unknown=sum(o["result"] == "unknown" for o in operations))
    return result
