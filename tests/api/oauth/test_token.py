"""The token endpoint: a code is good once, for its client, with its verifier; the rest is an error of RFC 6749."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import quote_plus

import pytest
import pytest_asyncio

from tests.api.oauth.granting import REDIRECT, VERIFIER, Client, Server, challenge_of, error_of, server_in, server_of
from tests.api.running import RunningApps

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(running: RunningApps, shared_url: str) -> AsyncIterator[Server]:
    async with server_in(running, shared_url) as made:
        yield made


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_code_gives_tokens_that_work_within_their_scopes(server: Server) -> None:
    client = await server.client()
    answer = await server.tokens(client)
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 3600, "read")
    assert (await server.call(answer["access_token"])).status_code == 200
    refused = await server.call(answer["access_token"], "/api/v1/applications")
    assert refused.status_code == 403
    assert 'scope="clients:read"' in refused.headers["www-authenticate"]


async def test_a_code_used_twice_revokes_what_the_first_use_gave(server: Server) -> None:
    client = await server.client()
    code = await server.code(client, await server.user())
    first = (await server.redeem(client, code)).json()
    assert (await server.call(first["access_token"])).status_code == 200
    assert error_of(await server.redeem(client, code)) == "invalid_grant"
    assert (await server.call(first["access_token"])).status_code == 401
    assert error_of(await server.refresh(client, first["refresh_token"])) == "invalid_grant"
    (event,) = await server.rows(
        "SELECT count(*) FROM audit_log WHERE organization_id = $1 AND action = 'auth.grant_revoked'",
        server.organization,
    )
    assert event["count"] == 1


async def test_of_a_hundred_redemptions_at_once_exactly_one_succeeds(server: Server) -> None:
    client = await server.client()
    code = await server.code(client, await server.user())
    answers = await asyncio.gather(*(server.redeem(client, code) for _ in range(100)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 99}
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}


async def test_another_clients_code_is_no_good_and_stays_good_for_its_own(server: Server) -> None:
    client, thief = await server.client(), await server.client()
    code = await server.code(client, await server.user())
    assert error_of(await server.redeem(thief, code)) == "invalid_grant"
    assert (await server.redeem(client, code)).status_code == 200
    assert error_of(await server.redeem(thief, code)) == "invalid_grant"


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": VERIFIER[:-1] + ("a" if VERIFIER[-1] != "a" else "b")},
        {"code_verifier": VERIFIER[:42]},  # RFC 7636, 4.1: at least 43
        {"code_verifier": VERIFIER + "A"},
        {"code_verifier": "é" * 43},
        {"code_verifier": challenge_of(VERIFIER)},  # plain: the challenge itself
        {"code_verifier": ""},
        {"redirect_uri": ""},
        {"redirect_uri": REDIRECT + "/"},
        {"redirect_uri": REDIRECT + "?x=1"},
        {"redirect_uri": REDIRECT.upper()},
        {"redirect_uri": "https://evil.example/callback"},
        {"code": "hkc_" + "A" * 43},
        {"code": "nothing"},
    ],
)
async def test_what_does_not_fit_the_code_is_refused_and_the_code_is_not_used_up(
    server: Server, changed: dict[str, str]
) -> None:
    client = await server.client(kind="public")
    code = await server.code(client, await server.user())
    assert error_of(await server.redeem(client, **{"code": code, **changed})) == "invalid_grant"
    assert (await server.redeem(client, code)).status_code == 200


async def test_plain_pkce_is_no_way_around(server: Server) -> None:
    """A challenge that is its own verifier was kept as if it were S256: no verifier fits but one that hashes to it."""
    client = await server.client(kind="public")
    code = await server.code(client, await server.user(), challenge=VERIFIER)
    assert error_of(await server.redeem(client, code, code_challenge_method="plain")) == "invalid_grant"


async def test_a_verifier_without_a_challenge_is_a_downgrade(server: Server) -> None:
    client = await server.client(requires_pkce=False)
    code = await server.code(client, await server.user(), challenge=None)
    assert error_of(await server.redeem(client, code)) == "invalid_grant"
    answer = await server.ask(client, grant_type="authorization_code", code=code, redirect_uri=REDIRECT)
    assert answer.status_code == 200


async def test_a_redirect_uri_that_was_not_given_need_not_be_repeated(server: Server) -> None:
    client, user = await server.client(), await server.user()
    how = {"grant_type": "authorization_code", "code_verifier": VERIFIER}
    code = await server.code(client, user, redirect_uri_given=False)
    assert error_of(await server.ask(client, code=code, redirect_uri="https://evil.example/", **how)) == "invalid_grant"
    assert (await server.ask(client, code=code, **how)).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE oauth_codes SET expires_at = now() - interval '1 second' WHERE grant_id = $2 AND $1 <> ''",
        "UPDATE users SET locked_at = now() WHERE id = $1 AND $2 <> ''",
        "UPDATE users SET must_reset = true WHERE id = $1 AND $2 <> ''",
        "DELETE FROM memberships WHERE user_id = $1 AND $2 <> ''",
        "UPDATE oauth_grants SET revoked_at = now() WHERE id = $2 AND $1 <> ''",
        "DELETE FROM users WHERE id = $1 AND $2 <> ''",
    ],
)
async def test_a_code_that_expired_or_whose_user_may_not_any_more_gives_nothing(server: Server, statement: str) -> None:
    client, user = await server.client(), await server.user()
    code = await server.code(client, user)
    (grant,) = await server.rows("SELECT id FROM oauth_grants WHERE user_id = $1", user)
    await server.rows(statement, user, grant["id"])
    assert error_of(await server.redeem(client, code)) == "invalid_grant"


async def test_a_disabled_application_gets_nothing(server: Server) -> None:
    client = await server.client()
    code = await server.code(client, await server.user())
    assert (await server.admin.post(f"/api/v1/applications/{client.id}/disable")).status_code == 200
    assert error_of(await server.redeem(client, code), 401) == "invalid_client"


@pytest.mark.parametrize(
    ("grants", "kind", "asked"),
    [
        (["client_credentials"], "confidential", "authorization_code"),
        (["authorization_code"], "confidential", "refresh_token"),
        (["authorization_code"], "confidential", "client_credentials"),
        (["authorization_code"], "public", "client_credentials"),
    ],
)
async def test_a_grant_that_was_not_registered_is_refused(
    server: Server, grants: list[str], kind: str, asked: str
) -> None:
    client = await server.client(kind=kind, grants=grants)
    answer = await server.ask(client, grant_type=asked, code="x", refresh_token="x")
    assert error_of(answer) == "unauthorized_client"


@pytest.mark.parametrize("asked", ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "x" * 500])
async def test_other_grants_do_not_exist(server: Server, asked: str) -> None:
    assert error_of(await server.ask(await server.client(), grant_type=asked)) == "unsupported_grant_type"


async def test_client_credentials_work_where_their_scope_reaches_and_nowhere_else(server: Server) -> None:
    client = await server.client(scopes=["subscriptions:read", "deliveries:read"])
    answer = (await server.ask(client, grant_type="client_credentials")).json()
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope"}  # no refresh token (RFC 6749, 4.4.3)
    assert (await server.call(answer["access_token"])).status_code == 200
    narrow = await server.of_client(client, scope="deliveries:read")
    assert (await server.call(narrow)).status_code == 403
    for wider in ("read", "clients:*", "subscriptions:read subscriptions:create", "nothing", "quarantine:read"):
        assert error_of(await server.ask(client, grant_type="client_credentials", scope=wider)) == "invalid_scope"


async def test_scopes_that_an_application_loses_are_gone_from_its_tokens(server: Server) -> None:
    client = await server.client(scopes=["subscriptions:read", "deliveries:read"])
    token = await server.of_client(client)
    assert (await server.call(token)).status_code == 200
    changed = await server.admin.patch(f"/api/v1/applications/{client.id}", json={"scopes": ["deliveries:read"]})
    assert changed.status_code == 200
    assert (await server.call(token)).status_code == 403


async def test_a_token_allows_no_more_than_its_users_role(server: Server) -> None:
    client = await server.client(scopes=["read", "clients:*"])
    viewer = await server.user(role="viewer")
    token = (await server.tokens(client, viewer, scopes=("read", "clients:*")))["access_token"]
    assert (await server.call(token)).status_code == 200
    assert (await server.call(token, "/api/v1/applications")).status_code == 403


def basic(client_id: str, secret: str) -> dict[str, str]:
    joined = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": f"Basic {base64.b64encode(joined.encode()).decode()}"}


async def test_basic_is_as_good_as_post_and_is_form_decoded(server: Server) -> None:
    client = await server.client()
    assert client.secret is not None
    ask = {"grant_type": "client_credentials"}
    for headers in (basic(client.id, client.secret), basic(client.id.replace("_", "%5F"), client.secret)):
        given = headers if headers == basic(client.id, client.secret) else _encoded(client)
        assert (await server.anonymous.post("/oauth/token", data=ask, headers=given)).status_code == 200
    same = {**ask, "client_id": client.id}
    good = basic(client.id, client.secret)
    assert (await server.anonymous.post("/oauth/token", data=same, headers=good)).status_code == 200


def _encoded(client: Client) -> dict[str, str]:
    joined = f"{client.id.replace('_', '%5F')}:{(client.secret or '').replace('_', '%5f')}"
    return {"Authorization": f"basic {base64.b64encode(joined.encode()).decode()}"}


async def test_a_client_that_is_not_known_gets_one_answer_whatever_is_wrong(server: Server) -> None:
    confidential, other = await server.client(), await server.client()
    public = await server.client(kind="public")
    secret = confidential.secret or ""
    forms = [
        {"client_id": confidential.id},  # a confidential client without its secret
        {"client_id": confidential.id, "client_secret": "hks_" + "A" * 43},
        {"client_id": confidential.id, "client_secret": secret[:-1]},
        {"client_id": confidential.id, "client_secret": secret + " "},
        {"client_id": confidential.id, "client_secret": other.secret or ""},
        {"client_id": public.id, "client_secret": secret},
        {"client_id": "app_" + "0" * 32, "client_secret": secret},
        {"client_id": "nobody"},
        {"client_id": confidential.id.upper(), "client_secret": secret},
    ]
    headers = [
        basic(confidential.id, "wrong"),
        basic(confidential.id, ""),
        basic("", secret),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no-colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": "Basic"},
    ]
    ask = {"grant_type": "client_credentials"}
    answers = [await server.anonymous.post("/oauth/token", data={**ask, **form}) for form in forms]
    answers += [await server.anonymous.post("/oauth/token", data=ask, headers=each) for each in headers]
    for answer in answers:
        assert error_of(answer, 401) == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert len({answer.text for answer in answers}) == 1


async def test_what_is_not_one_form_of_single_parameters_is_an_invalid_request(server: Server) -> None:
    client = await server.client()
    form = f"client_id={client.id}&client_secret={client.secret}&grant_type=client_credentials"
    secret_too = basic(client.id, client.secret or "")
    cases: list[tuple[str, dict[str, str], int]] = [
        (f"{form}&scope=read&scope=read", FORM, 400),
        (f"{form}&grant_type=client_credentials", FORM, 400),
        (f"{form}&client_id={client.id}", FORM, 400),
        (f"{form}&unknown=1&unknown=2", FORM, 400),
        (f"{form}&scope=%00", FORM, 400),
        (f"{form}&scope=%ff", FORM, 400),
        (f"{form}&scope=é", FORM, 400),
        ("&".join(f"p{number}=1" for number in range(60)), FORM, 400),
        ("grant_type=client_credentials", FORM, 400),  # no client at all
        (f"client_id={client.id}&client_secret={client.secret}", FORM, 400),  # no grant_type
        (f"client_id={client.id}&client_secret={client.secret}&grant_type=", FORM, 400),  # as good as none
        (form, {**FORM, **secret_too}, 400),  # two ways at once
        ("grant_type=client_credentials&client_id=other", {**FORM, **secret_too}, 400),
        (form, {"Content-Type": "application/json"}, 415),
        (form, {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (form, {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"}, 415),
        (form, {}, 415),
        (f"{form}&scope={'x' * 20_000}", FORM, 413),
        (f"client_id={client.id}&client_secret={client.secret}&grant_type=authorization_code", FORM, 400),
        (f"client_id={client.id}&client_secret={client.secret}&grant_type=refresh_token", FORM, 400),
    ]
    for body, headers, status in cases:
        answer = await server.anonymous.post("/oauth/token", content=body.encode(), headers=headers)
        assert error_of(answer, status) == "invalid_request", body[:200]


async def test_what_stands_in_the_url_is_not_read(server: Server) -> None:
    client = await server.client()
    answer = await server.anonymous.post("/oauth/token", params={**client.form, "grant_type": "client_credentials"})
    assert error_of(answer, 415) == "invalid_request"
    answer = await server.anonymous.post(
        "/oauth/token", params=client.form, data={"grant_type": "client_credentials", "client_id": client.id}
    )
    assert error_of(answer, 401) == "invalid_client"


async def test_guessing_is_limited_by_address_whichever_client_is_named(shared_url: str) -> None:
    async with server_of(shared_url, oauth_limit=5) as server:
        client = await server.client()
        for number in range(5):
            wrong = {"client_id": f"app_{number}", "client_secret": "guess", "grant_type": "client_credentials"}
            assert error_of(await server.anonymous.post("/oauth/token", data=wrong), 401) == "invalid_client"
        answer = await server.ask(client, grant_type="client_credentials")
        assert error_of(answer, 429) == "temporarily_unavailable"
        assert int(answer.headers["retry-after"]) > 0


async def test_a_client_is_limited_by_its_id_and_address(shared_url: str) -> None:
    async with server_of(shared_url, oauth_limit=5) as server:
        client, other = await server.client(), await server.client()
        for _ in range(5):
            await server.of_client(client)
        assert error_of(await server.ask(client, grant_type="client_credentials"), 429) == "temporarily_unavailable"
        await server.of_client(other)


async def test_an_application_of_another_organization_needs_its_approval(server: Server) -> None:
    await server.client()  # settles the organization
    stranger = await server.client(organization=f"{server.organization}-other")
    user = await server.user()
    approvals = "/api/v1/application-approvals"
    code = await server.code(stranger, user, organization=server.organization)
    assert error_of(await server.redeem(stranger, code)) == "invalid_grant"
    assert (await server.admin.post(approvals, json={"client_id": stranger.id})).status_code == 201
    answer = (await server.redeem(stranger, code)).json()
    assert (await server.call(answer["access_token"])).status_code == 200
    assert (await server.admin.delete(f"{approvals}/{stranger.id}")).status_code == 204
    assert (await server.call(answer["access_token"])).status_code == 401
    assert (await server.admin.post(approvals, json={"client_id": stranger.id})).status_code == 201
    assert (await server.call(answer["access_token"])).status_code == 401  # the grant is gone, not only the approval


async def test_nothing_that_can_be_used_is_in_the_database(server: Server) -> None:
    client = await server.client()
    code = await server.code(client, await server.user())
    answer = (await server.redeem(client, code)).json()
    follower = (await server.refresh(client, answer["refresh_token"])).json()
    shown = [client.secret or "", code, answer["access_token"], answer["refresh_token"], follower["refresh_token"]]
    tables = await server.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in sorted(row["tablename"] for row in tables):
        for (row,) in await server.rows(f"SELECT t::text FROM {table} t"):
            for secret in shown:
                assert secret not in row
                assert secret.encode().hex() not in row
                assert secret[-20:] not in row
    (key, *_) = await server.rows("SELECT private_key FROM oauth_signing_keys")
    assert b'"d"' not in key["private_key"]
