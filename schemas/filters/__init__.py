"""Which events of its types a subscription wants: CloudEvents' filter dialects, and CEL on the envelope and the data.

CloudEvents Subscriptions API 0.1-wip, 3.2.4 "Filters"; the language for people is in docs/filters.md.
"""

from schemas.filters.context import EventContext
from schemas.filters.dialects import Filters, canonical, checked_filters, filters_of
from schemas.filters.errors import FilterFailed

__all__ = ["EventContext", "FilterFailed", "Filters", "canonical", "checked_filters", "filters_of"]
