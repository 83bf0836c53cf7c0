"""Which keys are taken, and what OpenAPI says about them."""

import httpx
import pytest

from tests.api.problem import problem_of

PATH = "/api/v1/subscriptions"
BODY = {"url": "https://93.184.216.34/in", "event_types": ["*"]}


@pytest.mark.parametrize("key", ["", "a b", "\tkey", "x" * 256, "\u00e9", "a\x7f", "clé"])
async def test_what_is_no_key_is_pointed_at(bare_api: httpx.AsyncClient, key: str) -> None:
    response = await bare_api.post(PATH, json=BODY, headers=[(b"Idempotency-Key", key.encode())])
    document = problem_of(response, 422)
    assert document["errors"] == [
        {"detail": "give one key of 1 to 255 visible ASCII characters", "header": "Idempotency-Key"}
    ]


async def test_two_keys_are_none(bare_api: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    problem_of(await bare_api.post(PATH, json=BODY, headers=headers), 422)


@pytest.mark.postgres
async def test_a_key_of_one_caller_gives_another_no_answer(api: httpx.AsyncClient) -> None:
    """The first's answer holds a token that the second could not have made: it may do less."""
    bodies = [{"name": "t", "scopes": scopes} for scopes in (["tokens:*", "audit:read"], ["tokens:*"])]
    made = [(await api.post("/api/v1/api-tokens", json=body)).json()["token"] for body in bodies]
    asked = {"name": "x", "scopes": ["audit:read"]}
    answers = []
    for token in (made[0], made[0], made[1]):
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "shared"}
        answers.append(await api.post("/api/v1/api-tokens", json=asked, headers=headers))
    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[0].json() == answers[1].json()
    assert "was used for another request" in str(problem_of(answers[2], 422)["detail"])


async def test_without_the_database_a_post_with_a_key_is_503(bare_api: httpx.AsyncClient) -> None:
    problem_of(await bare_api.post(PATH, json=BODY, headers={"Idempotency-Key": "k"}), 503)


async def test_what_is_no_post_has_no_use_for_a_key(bare_api: httpx.AsyncClient) -> None:
    assert (
        await bare_api.get("/api/v1/event-types/user.created", headers={"Idempotency-Key": "a b"})
    ).status_code == 200


async def test_every_post_and_nothing_else_documents_the_key(bare_api: httpx.AsyncClient) -> None:
    for _ in range(2):  # described again, it is the same
        document = (await bare_api.get("/openapi.json")).json()
    posts = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = [parameter["name"] for parameter in operation.get("parameters", [])]
            is_post = method == "post" and path.startswith("/api/v1/") and "security" in operation
            is_post = is_post and operation["operationId"] != "publish_event_stream"  # its events have ids of their own
            assert named.count("Idempotency-Key") == is_post
            assert not is_post or {"409", "422", "503"} <= set(operation["responses"])
            posts += is_post
    assert posts >= 7
