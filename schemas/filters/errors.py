"""What goes wrong when a filter is asked about an event."""

from schemas.errors import HooklineError


class FilterFailed(HooklineError):
    """A filter could not say whether it takes an event; the event counts as not taken.

    Its text says why in one line, and quotes nothing of the event that the filter does not name itself.
    """
