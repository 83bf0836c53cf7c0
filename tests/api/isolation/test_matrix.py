"""Every operation, by every kind of credential: own, another organization's, none, revoked, expired, too narrow.

The operations come from the app itself. A new one takes part as it is; a parameter of its path that is not known yet
fails until `things.py` says what it names.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from api.permissions import OPERATORS, RateClass
from tests.api.conftest import TOKEN, settings_of
from tests.api.declared import DECLARED, DOCUMENT, OPEN
from tests.api.isolation import callers
from tests.api.isolation.callers import KINDS, Credentials, signed_in
from tests.api.isolation.things import EVERYBODYS, NAMES, Things, things_of
from tests.api.running import running_apps
from tests.api.test_declarations import OWN_AFFAIRS

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

# Where a description's example would have a name looked up, or is of no use here.
URL_BODY = {"url": "https://93.184.216.34/", "event_types": ["*"]}
BODIES: dict[str, Any] = {
    "create_subscription": URL_BODY,
    "replace_subscription": URL_BODY,
    "change_subscription": {"description": "x"},
    "create_user": {"email": "new@example.com", "name": "New"},
    "change_user": {"name": "Another"},
}
# No other organization's application is approved or consented to, and the session that is named is another user's.
NOTHING_OF_ONES_OWN = {"revoke_consent", "revoke_session", "withdraw_application_approval"}
SHOWING = {  # lists that must show what is there, else that nothing foreign is in them would prove nothing
    "list_api_tokens", "list_applications", "list_audit_entries", "list_deliveries", "list_events", "list_invitations",
    "list_jobs", "list_members", "list_replays", "list_roles", "list_subscriptions", "list_users",
}  # fmt: skip
ENDS_THE_SESSION = {"sign_out"}  # of the caller itself: asked last


@dataclass(frozen=True)
class Operation:
    """One operation of the description."""

    id: str
    method: str
    path: str
    body: Any

    @property
    def named(self) -> list[str]:
        """Return the parameters of its path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


def _operations() -> list[Operation]:
    found = []
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if (name := operation.get("operationId", "")) in DECLARED:
                found.append(Operation(name, method.upper(), path, BODIES.get(name, _example_of(operation))))
    # What deletes goes last: it would be missing for the others.
    return sorted(
        found, key=lambda each: (each.id in ENDS_THE_SESSION, each.method == "DELETE", each.path, each.method)
    )


def _example_of(operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    if "examples" in content:
        return next(iter(content["examples"].values()))["value"]
    for kind in content["schema"].get("anyOf", [content["schema"]]):
        schema = DOCUMENT["components"]["schemas"].get(str(kind.get("$ref", "")).rpartition("/")[2], {})
        if schema.get("examples"):
            return schema["examples"][0]
    return {}


OPERATIONS = _operations()
KNOWN = [each for each in OPERATIONS if each.id not in OPEN]  # who calls has to be known
PERMITTED = [each for each in KNOWN if each.id not in OWN_AFFAIRS]


def needed(operation: Operation) -> str:
    return str(DECLARED[operation.id].access.permission)


@dataclass
class Scene:
    """An app, two organizations with one of everything, and credentials of each kind for the first."""

    client: httpx.AsyncClient
    own: dict[str, Things]  # by kind of credential: what one deletes, the next still has
    credentials: dict[str, Credentials]
    other: Things
    told: list[tuple[str, str]]

    async def ask(self, operation: Operation, headers: dict[str, str], things: Things) -> httpx.Response:
        """Send an operation, with ids of these things in its path."""
        response = await self.client.request(
            operation.method,
            things.path(operation.id, operation.path),
            content=None if operation.body is None else json.dumps(operation.body),
            params={"format": "jsonl"} if operation.id == "export_audit_entries" else None,
            headers={**headers, **({} if operation.body is None else {"Content-Type": "application/json"})},
        )
        self.client.cookies.clear()
        self.told.append((operation.id, response.text))
        return response


@pytest.fixture
def scene(scene_of_all: Scene) -> Scene:
    """The scene of all these tests, in which nobody was told anything yet."""
    return replace(scene_of_all, told=[])


@pytest_asyncio.fixture(scope="module")
async def scene_of_all(shared_url: str) -> AsyncIterator[Scene]:
    """Made once: what is refused changes nothing, and what is not is asked last, by each kind of its own."""
    async with AsyncExitStack() as stack:
        app = await (await stack.enter_async_context(running_apps())).app(settings_of(shared_url))
        transport = httpx.ASGITransport(app)

        async def client(**headers: str) -> httpx.AsyncClient:
            made = httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=30)
            return await stack.enter_async_context(made)

        async def organization() -> tuple[httpx.AsyncClient, Things]:
            named = {"Authorization": f"Bearer {TOKEN}", "Hookline-Organization": f"org_{uuid4().hex}"}
            admin = await client(**named)
            things = await things_of(admin, shared_url)
            session = await signed_in(admin, app, "viewer")
            ids = await _rows(shared_url, "SELECT id FROM sessions WHERE user_id = $1", session[1])
            return admin, replace(things, ids={**things.ids, "session": ids[0], "approved_client": "app_none"})

        _, other = await organization()
        own: dict[str, Things] = {}
        credentials: dict[str, Credentials] = {}
        for kind in KINDS:
            admin, own[kind] = await organization()
            if kind == "api_token":
                credentials[kind] = await callers.api_tokens(admin, shared_url)
            elif kind == "access_token":
                credentials[kind] = await callers.access_tokens(admin, app)
            else:
                credentials[kind] = await callers.sessions(admin, shared_url, app)
        limits = json.dumps({each.value: 1_000_000 for each in RateClass})
        await _rows(shared_url, "UPDATE organizations SET limits = $1::jsonb", limits)
        app.state.callers.forget()
        yield Scene(await client(), own, credentials, other, [])


async def _rows(url: str, statement: str, *values: object) -> list[Any]:
    db = await asyncpg.connect(url)
    found = [row[0] for row in await db.fetch(statement, *values)]
    await db.close()
    return found


def test_all_operations_take_part() -> None:
    assert len(OPERATIONS) == len(DECLARED)
    assert {name for each in OPERATIONS for name in each.named} <= set(NAMES)


async def test_without_a_credential_that_holds_nobody_is_let_in(scene: Scene) -> None:
    bad: dict[str, dict[str, str]] = {"none": {}, "basic": {"Authorization": "Basic eDp5"}}
    for kind in KINDS:
        bad |= {f"{name} {kind}": headers for name, headers in scene.credentials[kind].unusable.items()}
    assert len(bad) == 2 + 4 * len(KINDS)
    wrong = []
    for operation in KNOWN:
        for name, headers in bad.items():
            response = await scene.ask(operation, headers, scene.own["api_token"])
            if response.status_code != 401 or "Bearer" not in response.headers.get("WWW-Authenticate", ""):
                wrong.append((operation.id, name, response.status_code))
    assert wrong == []


async def test_a_credential_that_is_too_narrow_is_told_which_permission_it_needs(scene: Scene) -> None:
    wrong = []
    for operation in PERMITTED:
        for kind in KINDS:
            if needed(operation) == "roles:read":  # what the narrow ones may
                continue
            response = await scene.ask(operation, scene.credentials[kind].narrow, scene.own[kind])
            challenge = response.headers.get("WWW-Authenticate", "")
            told = f'error="insufficient_scope", scope="{needed(operation)}"'
            if response.status_code != 403 or told not in challenge:
                wrong.append((operation.id, kind, response.status_code, challenge))
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
async def test_anothers_things_are_not_there_and_nothing_of_them_is_told(scene: Scene, kind: str) -> None:
    """With everything that an organization's own may have, and the ids of another's things."""
    full = scene.credentials[kind].full
    wrong: list[tuple[str, object, object]] = []
    for operation in KNOWN:
        named = {NAMES[name] for name in operation.named} - EVERYBODYS
        if not named or (operation.id in OWN_AFFAIRS and kind != "session"):
            continue
        response = await scene.ask(operation, full, scene.other)
        expected = 403 if needed(operation) in OPERATORS else 404
        if response.status_code != expected:
            wrong.append((operation.id, response.status_code, response.text[:200]))
    for operation in KNOWN:  # another organization named, and own ids
        response = await scene.ask(
            operation, {**full, "Hookline-Organization": scene.other.organization_id}, scene.own[kind]
        )
        if response.status_code not in ({401} if kind == "session" else {404}):
            wrong.append((operation.id, "named", response.status_code))
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
async def test_ones_own_is_reached_and_no_answer_holds_anything_of_anothers(scene: Scene, kind: str) -> None:
    wrong, full, own = [], scene.credentials[kind].full, scene.own[kind]
    for operation in KNOWN:
        response = await scene.ask(operation, full, own)
        if operation.id in OWN_AFFAIRS and kind != "session":
            continue
        is_operators = needed(operation) in OPERATORS
        refused = {401, 403, 404} if operation.named else {401, 403}
        if (response.status_code == 403) != is_operators or (response.status_code in refused and not is_operators):
            wrong.append((operation.id, response.status_code, response.text[:200]))
    assert [each for each in wrong if each[0] not in NOTHING_OF_ONES_OWN] == []
    foreign = [value for name, value in scene.other.ids.items() if name not in EVERYBODYS | {"approved_client"}]
    assert [(name, value) for name, text in scene.told for value in foreign if value in text] == []
    shown = {name for name, text in scene.told if any(value in text for value in own.ids.values())}
    assert {
        "list_subscriptions",
        "list_events",
        "list_deliveries",
        "list_replays",
        "list_members",
        "list_roles",
    } <= shown
    assert {"list_api_tokens", "list_applications", "list_invitations", "list_users", "list_audit_entries"} <= shown
