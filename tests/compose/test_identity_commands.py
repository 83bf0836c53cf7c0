"""Tokens, applications, members, users and the audit log from the command line, on the real API."""

import json
from typing import Any

import pytest

from tests.compose.shell import hookline_here as hookline

pytestmark = pytest.mark.postgres


def answered(env: dict[str, str], *arguments: str) -> Any:
    """Run a command with --json and return what it printed."""
    ran = hookline(*arguments, "--json", **env)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def printed(env: dict[str, str], *arguments: str) -> str:
    ran = hookline(*arguments, **env)
    assert ran.code == 0, ran.err
    return ran.out + ran.err


def test_a_token_is_made_used_listed_and_revoked(real_api: dict[str, str]) -> None:
    made = answered(
        real_api, "tokens", "add", "billing", "--scope", "read", "--scope", "events:publish", "--days", "90",
        "--allow-address", "127.0.0.0/8", "--rate-limit", "600",
    )  # fmt: skip
    assert made["token"].startswith("hkl_")
    assert made["allowed_addresses"] == ["127.0.0.0/8"]
    with_it = {**real_api, "HOOKLINE_ADMIN_TOKEN": made["token"]}
    assert answered(with_it, "subscriptions", "list") == []
    refused = hookline("tokens", "list", **with_it)
    assert (refused.code, "tokens:read" in refused.err) == (1, True), refused.err
    listed = printed(real_api, "tokens", "list")
    assert made["id"] in listed
    assert made["token"] not in listed
    assert "revoked" in printed(real_api, "tokens", "revoke", made["id"])
    assert hookline("subscriptions", "list", **with_it).code == 2


def test_a_new_token_is_printed_for_people_once(real_api: dict[str, str]) -> None:
    shown = printed(real_api, "tokens", "add", "a service", "--scope", "read")
    assert "hkl_" in shown
    assert "shown this once" in shown


def test_an_application_is_registered_rotated_and_removed(real_api: dict[str, str]) -> None:
    shown = printed(
        real_api,
        "applications",
        "add",
        "Canvas",
        "--redirect-uri",
        "https://canvas.example/callback",
        "--scope",
        "read",
    )
    assert "hks_" in shown
    (made,) = answered(real_api, "applications", "list")
    assert made["id"] in shown
    assert made["grants"] == ["authorization_code", "refresh_token"]
    rotated = answered(real_api, "applications", "rotate-secret", made["id"], "--overlap", "1h")
    assert rotated["client_secret"] not in shown
    public = answered(
        real_api, "applications", "add", "App", "--public", "--redirect-uri", "com.example.app:/back", "--scope", "read"
    )
    assert public.get("client_secret") is None
    assert "Canvas" in printed(real_api, "applications", "list")
    assert "deleted" in printed(real_api, "applications", "remove", made["id"])
    elsewhere = ("--organization", "org_other")
    assert "approved" in printed(real_api, "applications", "approve", public["id"], *elsewhere)


def test_people_are_added_invited_locked_and_changed(real_api: dict[str, str]) -> None:
    ada = answered(real_api, "users", "add", "ada@example.com", "--name", "Ada", "--role", "owner")
    assert "ada@example.com" in printed(real_api, "users", "list")
    said = printed(real_api, "users", "add", "grace@example.com", "--name", "Grace", "--role", "viewer")
    assert "a link to set a password goes to grace@example.com" in said
    members = {each["email"]: each for each in answered(real_api, "members", "list")}
    assert members["ada@example.com"]["role"] == "owner"
    grace = members["grace@example.com"]["user_id"]
    assert "admin" in printed(real_api, "members", "change", grace, "--role", "admin")
    assert "invited as developer" in printed(real_api, "members", "invite", "joan@example.com", "--role", "developer")
    assert "locked" in printed(real_api, "users", "lock", grace, "--reason", "left")
    assert "unlocked" in printed(real_api, "users", "unlock", grace)
    assert "removed" in printed(real_api, "members", "remove", grace)
    assert "Ada" in printed(real_api, "members", "list")
    last = hookline("members", "change", ada["id"], "--role", "viewer", **real_api)
    assert (last.code, "owner" in last.err) == (1, True), last.err


def test_the_audit_log_says_who_did_what(real_api: dict[str, str]) -> None:
    made = answered(real_api, "tokens", "add", "billing", "--scope", "read")
    entries = answered(real_api, "audit", "list", "--target", made["id"], "--since", "1h")
    assert [(each["action"], each["actor"]["name"]) for each in entries] == [("create_api_token", "administrator")]
    assert "create_api_token" in printed(real_api, "audit", "list")
    assert answered(real_api, "audit", "list", "--action", "never") == []
