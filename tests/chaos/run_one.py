"""One run: run_one.py BUILD FAULT MODE SEED [--control | --fence-off]. The line that begins with the fault is the verdict. See run.py."""
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback

import scene
import table  # noqa: F401
import verdict


def stopped(*_):
    raise KeyboardInterrupt


def keep(played, to):
    """What a failed run recorded, and what its nodes said."""
    shutil.rmtree(to, ignore_errors=True)
    os.makedirs(to)
    for path in played.files() + [n.log for n in played.world.nodes.values()]:
        if os.path.exists(path):
            shutil.copy(path, to)
    print(f"records and logs are in {to}")


def main():
    build, fault, mode, seed = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    how = sys.argv[5] if len(sys.argv) > 5 else ""
    control = how == "--control"
    signal.signal(signal.SIGTERM, stopped)
    row = scene.TABLE[fault]
    without = os.path.join(build, "fence_off", "pgquorum-fence") if how or row.fence == "off" else None
    began = time.monotonic()
    played = scene.Scene(row, mode, seed, build, without, row.control if control else None)
    broken = None
    try:
        try:
            played.play()
        except (Exception, KeyboardInterrupt) as error:  # the run has failed, and is judged all the same by what it recorded
            broken = f"{type(error).__name__}: {error}"
            if isinstance(error, subprocess.CalledProcessError):
                broken += f": {error.stderr}"
            traceback.print_exc()
            played.world.show()
        found = verdict.judge(played, broken, control)
        if found.complaints and not control:
            keep(played, os.path.join(build, "chaos", f"{fault}-{mode}-{seed}"))
    finally:
        played.close()
    drawn = "; " + ", ".join(played.drawn) if played.drawn else ""
    good = found.found_two_writers if control else not found.complaints
    told = ("found out" if good else "NOT FOUND OUT") if control else ("ok" if good else "FAILED")
    print(f"{fault} {mode} seed {seed}{' without the fence' if how else ''}: {found.figures}: {told} ({time.monotonic() - began:.0f} s{drawn})")
    for complaint in found.complaints:
        print("    " + complaint)
    sys.exit(0 if good else 1)


main()
