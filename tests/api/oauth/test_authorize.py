"""GET /oauth/authorize: what leads to a page, to a code and to an error at the client."""

import pytest

from tests.api.oauth.browser import answer_in
from tests.api.oauth.scene import CALLBACK, ConsentRow, GrantRow, Scene

pytestmark = pytest.mark.postgres


async def test_allowing_gives_a_code_with_state_and_issuer(signed_in: Scene) -> None:
    page = await signed_in.authorize()
    assert page.status_code == 200
    answer = await signed_in.decide(page)
    assert answer.headers["location"].startswith(f"{CALLBACK}?")
    found = answer_in(answer)
    assert found.pop("code")
    assert found == {"state": "xyz", "iss": "https://api.example"}
    (grant,) = await signed_in.rows(GrantRow)
    assert (grant.user_id, grant.application_id, grant.scopes) == (signed_in.user_id, signed_in.client_id, ["read"])


async def test_nobody_is_asked_twice_for_the_same(signed_in: Scene) -> None:
    await signed_in.decide(await signed_in.authorize())
    again = await signed_in.authorize()
    assert answer_in(again).keys() == {"code", "state", "iss"}
    more = await signed_in.authorize(scope="read subscriptions:create")
    assert more.status_code == 200
    await signed_in.decide(more)
    (consent,) = await signed_in.rows(ConsentRow)
    assert consent.scopes == ["read", "subscriptions:create"]
    less = await signed_in.authorize(scope="deliveries:read")  # a part of read
    assert "code" in answer_in(less)
