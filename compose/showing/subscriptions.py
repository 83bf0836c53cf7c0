"""Subscriptions for people."""

from collections.abc import Sequence

from compose.asking import Body
from compose.showing.standing import reason_of
from compose.showing.tables import (
    coloured,
    exact_time_of,
    print_fields,
    print_table,
    two_lines,
)


def print_subscriptions(subscriptions: Sequence[Body]) -> None:
    """Print a table of subscriptions."""
    rows = [
        (each["id"], two_lines(coloured(state_of(each)), each["disabled_reason"] or ""),
         two_lines(each["url"], ", ".join(each["event_types"])))
        for each in subscriptions
    ]  # fmt: skip
    print_table(("ID", "STATE", "URL, EVENT TYPES"), rows, folding=[2])


def print_subscription(subscription: Body) -> None:
    """Print one subscription, with its secret where the API gave it."""
    given = dict(subscription)
    secret = given.pop("secret", None)
    disabled = f"{given['disabled_reason']}, {exact_time_of(given['disabled_at'])}" if given["disabled_at"] else None
    delivering = given["delivering"]
    behind = reason_of(delivering) if delivering["state"] == "behind" else None
    print_fields(
        [
            ("id", given["id"]),
            ("state", coloured(state_of(given))),
            ("disabled", disabled),
            ("behind", behind),
            ("url", given["url"]),
            ("event types", ", ".join(given["event_types"])),
            ("description", given["description"]),
            ("timeout", f"{given['timeout_s']:g} s"),
            ("headers", ", ".join(given["headers"]) or None),
            ("metadata", str(given["metadata"]) if given["metadata"] else None),
            ("version", str(given["version"])),
            ("created", exact_time_of(given["created_at"])),
            ("changed", exact_time_of(given["updated_at"])),
            ("secret", secret),
        ]
    )
    if secret is not None:
        print_fields([("", "keep the secret: it is not shown again")])


def state_of(subscription: Body) -> str:
    """Return enabled, disabled or failing."""
    enabled = "enabled" if subscription["enabled"] else "disabled"
    return str(subscription.get("state", enabled))
