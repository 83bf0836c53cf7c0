"""Bodies as the API answers them, with ids of their real length."""

from typing import Any

HEX = "019a9f2b6c7d7e8f9a0b1c2d3e4f5a6"
SUBSCRIPTION_ID, DELIVERY_ID, EVENT_ID = f"sub_{HEX}1", f"dlv_{HEX}2", f"evt_{HEX}3"
REPLAY_ID, QUARANTINE_ID, ATTEMPT_ID = f"rpl_{HEX}4", f"qtn_{HEX}5", f"att_{HEX}6"
AT = "2026-11-21T09:30:00.120000Z"


def subscription(**other: Any) -> dict[str, Any]:
    return {
        "id": SUBSCRIPTION_ID, "url": "https://example.com/" + "long/" * 30, "event_types": ["user.created", "quest.*"],
        "description": "Billing", "headers": {"X-Team": "***"}, "timeout_s": 15.0, "enabled": True, "state": "failing",
        "disabled_reason": None, "disabled_at": None, "paused_at": None, "rate_limit": None, "max_in_flight": None,
        "catch_up_rate_per_s": None, "ordering": "none", "on_exhaustion": "dead_letter", "allowed_addresses": [],
        "signature": {"style": "standard", "header": None}, "event_type_header": None, "delivery_id_header": None,
        "delivering": {"state": "live", "reason": None, "since": None, "not_before": None},
        "filters": [{"exact": {"subject": "user_1"}}, {"cel": "data.amount > 100"}], "filter_errors": {
            "count": 1200, "last_error": 'Key not found in map : "amount"', "last_event_id": EVENT_ID, "last_at": AT,
            "since_version": 1,
        },
        "metadata": {"team": "billing"}, "version": 1, "created_at": AT,
        "payload": None, "transformation_version": 0, "updated_at": AT, **other,
    }  # fmt: skip


def dry_run(**other: Any) -> dict[str, Any]:
    example = {
        "event_id": EVENT_ID,
        "type": "user.created",
        "created_at": AT,
        "before": {"data": {"name": "Zoë"}},
        "before_bytes": 24,
        "after": {"link": "/api/v1/events/evt_1"},
        "after_bytes": 30,
    }
    return {
        "looked_at": 1200, "matched": 1, "failed": 1, "stopped_by": "time", "oldest_at": AT,
        "types": [{"type": "user.created", "looked_at": 1200, "matched": 1}],
        "errors": [{"event_id": EVENT_ID, "type": "user.created", "error": "no such field"}],
        "examples": [example, {**example, "before": None}], **other,
    }  # fmt: skip


def lag(**other: Any) -> dict[str, Any]:
    place = {"place": "behind", "count": 1200, "oldest": AT, "next_due_at": None}
    return {
        "oldest": AT, "oldest_event_id": EVENT_ID, "count": 1200, "where": [place], "held": {"count": 3, "oldest": AT},
        "behind": {"reason": "open", "since": AT, "not_before": AT, "parked_keys": 2}, **other,
    }  # fmt: skip


def delivery(**other: Any) -> dict[str, Any]:
    return {
        "id": DELIVERY_ID, "event_id": EVENT_ID, "event_type": "user.password_reset_requested", "state": "failed",
        "subscription_id": SUBSCRIPTION_ID, "round": "0", "attempt_count": 7, "status": None,
        "error_kind": "disconnected", "error": "it hung up", "duration_ms": 84, "created_at": AT,
        "next_attempt_at": None, "last_attempt_at": AT, "finished_at": AT, "is_test": False, "key": "user_1", **other,
    }  # fmt: skip


def attempt(**other: Any) -> dict[str, Any]:
    return {
        "id": ATTEMPT_ID, "round": "0", "attempt": 1, "state": "failed", "started_at": AT, "due_at": AT,
        "duration_ms": 84, "error_kind": "http", "error": "the receiver answered 503", "worker": "worker-0",
        "url": "https://example.com/hooks", "address": "93.184.216.34:443", "next_attempt_at": None,
        "subscription_version": 3,
        "transformation_version": 1,
        "request": {
            "headers": {"content-type": "application/json", "webhook-signature": "***"},
            "body": '{"id":"evt_1","data":{"name":"Zoë"}}', "body_encoding": "utf-8", "body_bytes": 37,
            "truncated": False,
        },
        "response": {
            "status": 503, "headers": {"content-type": "text/plain"}, "body": "try later", "body_encoding": "utf-8",
            "truncated": False,
        },
        **other,
    }  # fmt: skip


def event(**other: Any) -> dict[str, Any]:
    return {
        "id": EVENT_ID, "type": "user.created", "created_at": AT, "key": "user_1", "source_id": None, "source": None,
        "data": {"id": "user_1"}, "previous": None, "metadata": {}, **other,
    }  # fmt: skip


def replay(**other: Any) -> dict[str, Any]:
    asked = {
        "subscription_id": None, "event_types": None, "state": "failed", "since": None, "until": None,
        "offsets": None, "filters": None,
    }  # fmt: skip
    return {
        "id": REPLAY_ID, "state": "running", "source": "deliveries", "is_retry": False, "filter": asked,
        "rate_per_s": 100.0, "total": 10,
        "sent": 0, "succeeded": 0, "failed": 0, "held": 0, "skipped": 0, "cancelled": 0, "created_at": AT,
        "started_at": AT, "paused_at": None, "finished_at": None, "log": None, "error": None, **other,
    }  # fmt: skip


def job(**other: Any) -> dict[str, Any]:
    progress = {"done": 1200, "total": 5000, "percent": 24.0, "unit": "offsets"}
    return {
        "id": REPLAY_ID, "kind": "replay", "state": "running", "progress": progress,
        "href": f"/api/v1/replays/{REPLAY_ID}", "created_at": AT, "started_at": AT, "finished_at": None, "error": None,
        **other,
    }  # fmt: skip


def estimate(**other: Any) -> dict[str, Any]:
    return {
        "count": 5000, "held": 20, "events": 4900, "size_bytes": 3_700_000, "seconds": 50.0,
        "by_type": [{"type": "user.created", "events": 4900, "count": 5000}],
        "read_from": {"kafka": 4200, "stored": 700}, "is_estimate": True, **other,
    }  # fmt: skip


def record(**other: Any) -> dict[str, Any]:
    value = {"data": "wwEAAQID/w==", "encoding": "base64", "truncated": True, "bytes": 20_000}
    return {
        "id": QUARANTINE_ID, "at": AT, "topic": "hookline.deliver", "partition": 3, "offset": 123_456,
        "stage": "deliver", "error_class": "schemas.codec.UnknownFingerprint", "error": "no such schema", "key": None,
        "value": value, "headers": [{"name": "ce_id", "value": "ZXZ0XzE="}], "retried_at": None, **other,
    }  # fmt: skip
