"""Patterns of event types (schemas/patterns.py) as a condition that PostgreSQL judges."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, SQLColumnExpression, false, or_, true


def taken_by(patterns: Iterable[str], event_type: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Return that one of the patterns takes an event type."""
    return or_(false(), *(_takes(pattern, event_type) for pattern in patterns))


def _takes(pattern: str, event_type: SQLColumnExpression[str]) -> ColumnElement[bool]:
    if pattern in {"*", "**"}:
        return true()
    if pattern.endswith((".*", ".**")):
        return event_type.startswith(pattern.rstrip("*"), autoescape=True)
    return event_type == pattern
