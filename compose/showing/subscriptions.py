"""Subscriptions for people."""

from collections.abc import Sequence

from orjson import dumps

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
            ("paused", exact_time_of(given["paused_at"])),
            ("behind", behind),
            ("url", given["url"]),
            ("event types", ", ".join(given["event_types"])),
            *[("filter", dumps(each).decode()) for each in given["filters"]],
            ("payload", _payload_of(given.get("payload"))),
            ("filters failed", _failed(given["filter_errors"])),
            ("description", given["description"]),
            ("timeout", f"{given['timeout_s']:g} s"),
            ("headers", ", ".join(given["headers"]) or None),
            *_sending_of(given),
            ("metadata", str(given["metadata"]) if given["metadata"] else None),
            ("version", str(given["version"])),
            ("created", exact_time_of(given["created_at"])),
            ("changed", exact_time_of(given["updated_at"])),
            ("secret", secret),
        ]
    )
    if secret is not None:
        print_fields([("", "keep the secret: it is not shown again")])


def _failed(errors: Body) -> str | None:
    """Return how often its filters failed, and the last time how; None when they never did."""
    if not errors["count"]:
        return None
    return f"{errors['count']:,} times, {exact_time_of(errors['last_at'])}: {errors['last_error']}"


def _sending_of(subscription: Body) -> Sequence[tuple[str, str | None]]:
    """Return how it is sent to: of the settings those that are not what every subscription has."""
    limit, signature = subscription["rate_limit"], subscription["signature"]
    rate, ordering = subscription["catch_up_rate_per_s"], subscription["ordering"]
    signed = signature["style"] if signature["header"] is None else f"{signature['style']}, in {signature['header']}"
    most = subscription["max_in_flight"]
    return [
        ("rate limit", None if limit is None else f"{limit['limit']:,} a {limit['per']}"),
        ("in flight", None if most is None else f"at most {most:,}"),
        ("catches up", None if rate is None else f"at {rate:g} a second"),
        ("ordering", None if ordering == "none" else f"{ordering}, on exhaustion {subscription['on_exhaustion']}"),
        ("addresses", ", ".join(subscription["allowed_addresses"]) or None),
        ("signature", None if signed == "standard" else signed),
        ("event type header", subscription["event_type_header"]),
        ("delivery id header", subscription["delivery_id_header"]),
    ]


def _payload_of(payload: Body | None) -> str | None:
    """Return how bodies look; None for the full body, which needs no line."""
    if payload is None:
        return None
    return dumps({name: value for name, value in payload.items() if value is not None}).decode()


def state_of(subscription: Body) -> str:
    """Return enabled, disabled, paused or failing."""
    enabled = "enabled" if subscription["enabled"] else "disabled"
    return str(subscription.get("state", enabled))
