"""Which timelines a primary's history went through, and up to where, by its .history file."""


def ancestors(files, timeline):
    """{timeline: position at which it was left} of what lies below `timeline`; None where its file is not known."""
    lines = files.get(str(timeline))
    if lines is None:
        return {} if timeline == 1 else None
    return {parent: lsn for parent, lsn, *_ in lines}


def newest_primary(history):
    """The last record of kind timelines of a primary, or None."""
    return max((t for t in history.of("timelines") if t["role"] == "primary"), key=lambda t: t["at"], default=None)
