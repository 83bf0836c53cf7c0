"""What a worker raises on purpose."""

from schemas.errors import HooklineError


class WorkerError(HooklineError):
    """A worker cannot start or go on; its process ends and its supervisor starts it again."""


class Unsendable(HooklineError):
    """A delivery cannot be sent for a reason of ours; it is retried like any other failure."""
