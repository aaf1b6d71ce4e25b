"""Every scenario that is built, in the order of the catalogue's chapters. Importing this defines them all (scene.TABLE)."""
import partitions  # noqa: F401,I001
import pauses  # noqa: F401
import crashes  # noqa: F401
import replication  # noqa: F401
import storage  # noqa: F401
import interfaces  # noqa: F401
