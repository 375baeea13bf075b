"""Where tasks run."""

from heldout.engine.local import Done, default_workers, one_thread, run_fresh, run_tasks

__all__ = ["Done", "default_workers", "one_thread", "run_fresh", "run_tasks"]
