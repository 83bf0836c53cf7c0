"""`hookline subscriptions` on the real API."""

import json
from uuid import uuid4

import pytest

from tests.compose.shell import hookline_here as hookline

ADD = ("subscriptions", "add", "http://127.0.0.1:9/hooks")


@pytest.mark.postgres
def test_a_subscription_is_added_listed_shown_and_deleted(real_api: dict[str, str]) -> None:
    organization = ("--organization", f"org_{uuid4().hex}")
    added = hookline(
        *ADD, "--event-type", "user.created", "--event-type", "quest.*", "--header", "X-Team: billing", "--timeout",
        "5", "--disabled", "--metadata", '{"team": "billing"}', "--description", "Billing", "--json", *organization,
        **real_api,
    )  # fmt: skip
    assert added.code == 0, added.err
    created = json.loads(added.out)
    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    assert (created["event_types"], created["timeout_s"], created["enabled"]) == (["user.created", "quest.*"], 5, False)
    assert (created["headers"], created["metadata"]) == ({"X-Team": "***"}, {"team": "billing"})

    listed = hookline("subscriptions", "list", "--state", "disabled", "--json", *organization, **real_api)
    shown = hookline("subscriptions", "show", created["id"], "--json", *organization, **real_api)
    assert json.loads(listed.out) == [json.loads(shown.out)] == [created]
    table = hookline("subscriptions", "list", *organization, **real_api).out
    assert created["id"] in table
    assert "http://127.0.0.1:9/hooks" in table

    lag = hookline("subscriptions", "lag", created["id"], "--json", *organization, **real_api)
    assert (json.loads(lag.out)["count"], json.loads(lag.out)["behind"]) == (0, None)
    since = ("--since", "2d", "--dry-run")
    recovered = hookline("subscriptions", "recover", created["id"], *since, *organization, **real_api)
    assert recovered.out == "0 deliveries would be sent again\n"

    another = hookline("subscriptions", "show", created["id"], "--organization", "org_another", **real_api)
    assert (another.code, "no subscription of this id" in another.complaint) == (1, True)
    deleted = hookline("subscriptions", "delete", created["id"], "--yes", *organization, **real_api)
    assert (deleted.code, deleted.out) == (0, f"{created['id']}  deleted\n")
    assert hookline("subscriptions", "list", "--json", *organization, **real_api).out == "[]\n"


@pytest.mark.postgres
def test_what_the_api_refuses_is_told_by_the_names_of_options(real_api: dict[str, str]) -> None:
    ran = hookline(*ADD, "--event-type", "No Such", "--timeout", "90", **real_api)
    assert (ran.code, "--event-type: " in ran.complaint, "--timeout: " in ran.complaint) == (2, True, True)
    unknown = hookline(*ADD, "--event-type", "no.such", **real_api)  # an organization may have types of its own
    assert (unknown.code, "--event-type: " in unknown.complaint) == (2, True)
    named = hookline("subscriptions", "list", "--organization", "no organization!", **real_api)
    assert (named.code, "--organization: must be 1 to 100 letters" in named.complaint) == (2, True)


@pytest.mark.postgres
def test_how_a_subscription_is_sent_to_is_changed_and_taken_back(real_api: dict[str, str]) -> None:
    body = json.loads(hookline(*ADD, "--event-type", "*", "--rate-limit", "50/s", "--json", **real_api).out)
    assert body["rate_limit"] == {"limit": 50, "per": "second"}
    change = ("subscriptions", "change", body["id"])
    changed = hookline(*change, "--ordering", "strict", "--signature-header", "X-S", "--json", **real_api)
    shown = json.loads(changed.out)
    assert (shown["ordering"], shown["signature"]) == ("strict", {"style": "standard", "header": "X-S"})
    assert shown["rate_limit"] == {"limit": 50, "per": "second"}
    back = hookline(*change, "--rate-limit", "default", "--signature-header", "default", "--json", **real_api)
    shown = json.loads(back.out)
    assert (shown["rate_limit"], shown["signature"]["header"], shown["ordering"]) == (None, None, "strict")
    refused = hookline(
        *change, "--rate-limit", "0/s", "--catch-up-rate", "0", "--allow-address", "x", "--signature-header", "Host",
        **real_api,
    )  # fmt: skip
    assert refused.code == 2
    for option in ("--rate-limit", "--catch-up-rate", "--allow-address", "--signature-header"):
        assert f"{option}: " in refused.complaint


@pytest.mark.postgres
def test_filters_are_given_as_objects_or_expressions_shown_and_taken_away(real_api: dict[str, str]) -> None:
    added = hookline(
        *ADD, "--event-type", "*", "--filter", '{"prefix": {"source": "/s/"}}', "--filter",
        '{"not": {"exact": {"a": "b"}}}',
        "--json", **real_api,
    )  # fmt: skip
    body = json.loads(added.out)
    assert body["filters"] == [{"prefix": {"source": "/s/"}}, {"not": {"exact": {"a": "b"}}}]
    shown = hookline("subscriptions", "show", body["id"], **real_api).out
    assert '{"prefix":{"source":"/s/"}}' in shown
    assert "filters failed" not in shown
    change = ("subscriptions", "change", body["id"])
    changed = json.loads(hookline(*change, "--filter", "data.amount > 100", "--json", **real_api).out)
    assert changed["filters"] == [{"cel": "data.amount > 100"}]
    assert json.loads(hookline(*change, "--filter", "default", "--json", **real_api).out)["filters"] == []
    refused = hookline(*change, "--filter", "data.amount >", **real_api)
    assert (refused.code, "--filter: line 1, column 14" in refused.complaint) == (2, True)


@pytest.mark.postgres
def test_subscriptions_are_disabled_enabled_and_given_other_secrets(real_api: dict[str, str]) -> None:
    first, second = (json.loads(hookline(*ADD, "--event-type", "*", "--json", **real_api).out) for _ in range(2))
    disabled = hookline("subscriptions", "disable", first["id"], second["id"], **real_api)
    assert (disabled.code, disabled.out) == (0, f"{first['id']}  disabled\n{second['id']}  disabled\n")
    enabled = hookline("subscriptions", "enable", second["id"], "sub_none", **real_api)
    assert (enabled.code, f"{second['id']}  enabled\n" in enabled.out) == (1, True)
    assert "sub_none  this organization has no subscription of this id" in enabled.out
    listed = hookline("subscriptions", "list", "--state", "disabled", "--json", **real_api)
    assert [each["id"] for each in json.loads(listed.out)] == [first["id"]]

    paused = hookline("subscriptions", "pause", second["id"], **real_api)
    assert (paused.code, paused.out) == (0, f"{second['id']}  paused\n")
    found = hookline("subscriptions", "list", "--state", "paused", "--json", **real_api)
    assert [each["id"] for each in json.loads(found.out)] == [second["id"]]
    resumed = hookline("subscriptions", "resume", second["id"], "--rate", "20", "--json", **real_api)
    shown = json.loads(resumed.out)
    assert (shown["state"], shown["catch_up_rate_per_s"]) == ("enabled", 20)

    rotated = hookline("subscriptions", "rotate-secret", first["id"], "--overlap", "1h", "--json", **real_api)
    assert json.loads(rotated.out)["secret"] not in {first["secret"], second["secret"]}
    refused = hookline("subscriptions", "rotate-secret", first["id"], "--overlap", "soon", **real_api)
    assert (refused.code, "--overlap: " in refused.complaint) == (2, True)
