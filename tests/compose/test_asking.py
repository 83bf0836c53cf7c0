"""Commands find the API, and say in one line what it refused, and that it is away."""

import json
from pathlib import Path

import pytest

from compose.asking import Api
from compose.complaints import complaint_of
from compose.refusals import Refused, refusal_of
from compose.settings import ApiAddress
from compose.showing.lists import print_list
from tests.compose.shell import NOWHERE, hookline_here
from tests.compose.standin import TOKEN, StandIn, listed, problem

STATS = {"deliveries": 1}


def stack_in(folder: Path, api_url: str, token: str = TOKEN) -> None:
    (folder / ".hookline").mkdir()
    stack = {"api_url": api_url, "kafka": NOWHERE, "database_url": "postgresql://127.0.0.1:1/x"}
    (folder / ".hookline" / "stack.json").write_text(json.dumps(stack))
    (folder / ".hookline" / "admin-token").write_text(f"{token}\n")


def test_asks_the_api_of_the_environment_for_the_named_organization(standin_api: StandIn, tmp_path: Path) -> None:
    standin_api.answers["GET /stats"] = 200, STATS
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    env = {"HOOKLINE_API_URL": f"{standin_api.url}/", "HOOKLINE_ADMIN_TOKEN_FILE": str(file)}
    proxied = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    ran = hookline_here("stats", "--json", "--organization", "org_a", cwd=tmp_path, **env, **proxied)
    assert (ran.code, json.loads(ran.out), ran.err) == (0, STATS, "")
    [asked] = standin_api.asked
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["hookline-organization"] == "org_a"


def test_without_settings_asks_the_running_stack(standin_api: StandIn, tmp_path: Path) -> None:
    standin_api.answers["GET /stats"] = 200, STATS
    stack_in(tmp_path, standin_api.url)
    assert hookline_here("stats", "--json", cwd=tmp_path).code == 0
    assert "hookline-organization" not in standin_api.asked[0].headers  # the API knows the administrator's own


def test_the_stacks_token_goes_nowhere_else(standin_api: StandIn, tmp_path: Path) -> None:
    stack_in(tmp_path, "http://127.0.0.1:2")
    ran = hookline_here("stats", cwd=tmp_path, HOOKLINE_API_URL=standin_api.url)
    assert ran.code == 2
    assert "set HOOKLINE_ADMIN_TOKEN" in ran.complaint
    assert standin_api.asked == []


@pytest.mark.parametrize(
    ("env", "code", "says"),
    [
        ({}, 2, "no API is known: set HOOKLINE_API_URL, or run `hookline up` in this folder"),
        ({"HOOKLINE_API_URL": "http://me:hidden@api"}, 2, "HOOKLINE_API_URL: must be http://"),
        ({"HOOKLINE_API_URL": f"http://{NOWHERE}"}, 2, "set HOOKLINE_ADMIN_TOKEN, or HOOKLINE_ADMIN_TOKEN_FILE"),
        ({"HOOKLINE_API_URL": f"http://{NOWHERE}", "HOOKLINE_ADMIN_TOKEN": "a\nb"}, 2, "without line breaks"),
        (
            {"HOOKLINE_API_URL": f"http://{NOWHERE}", "HOOKLINE_ADMIN_TOKEN": TOKEN},
            1,
            f"the API at http://{NOWHERE} does not answer (ConnectError): start `hookline up`",
        ),
    ],
)
def test_what_is_missing_is_one_line_that_says_what_to_do(
    env: dict[str, str], code: int, says: str, tmp_path: Path
) -> None:
    ran = hookline_here("stats", cwd=tmp_path, **env)
    assert ran.code == code
    assert says in ran.complaint
    assert TOKEN not in ran.err
    assert "hidden" not in ran.err


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (problem(401, "this token is not valid"), 2, "this token is not valid"),
        (problem(404, "there is no such delivery"), 1, "there is no such delivery"),
        (problem(409, "it is being sent"), 1, "it is being sent"),
        (problem(503, "the database is away"), 1, "the database is away (request req_1)"),
        (problem(404, "\x1b[2Jgone\u202e"), 1, "\\x1b[2Jgone\\u202e"),
        ((200, b"<html>"), 1, "answered 200, which the API does not: check HOOKLINE_API_URL"),
        ((302, b""), 1, "answered 302, which the API does not: check HOOKLINE_API_URL"),
        ((200, []), 1, "answered 200, which the API does not"),
    ],
)
def test_a_refusal_is_one_line(answer: tuple[int, object], code: int, says: str, standin_api: StandIn) -> None:
    standin_api.answers["GET /stats"] = answer
    with Api(ApiAddress(standin_api.url, TOKEN)) as api, pytest.raises(Refused) as refused:
        api.get("/stats")
    assert complaint_of(refused.value)[0] == code
    assert says in complaint_of(refused.value)[1]


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ({"pointer": "/event_types/1"}, "--event-type: x"),
        ({"pointer": "/timeout_s"}, "--timeout: x"),
        ({"pointer": "/url"}, "URL: x"),
        ({"pointer": "/headers/X-A"}, "--header: x"),
        ({"pointer": "/schema/fields/0/type"}, "--schema /fields/0/type: x"),
        ({"pointer": "/schema"}, "--schema: x"),
        ({"pointer": "/rate_per_s"}, "--rate: x"),
        ({"parameter": "error_kind"}, "--error-kind: x"),
        ({"parameter": "subscription_id"}, "--subscription: x"),
        ({"header": "Hookline-Organization"}, "--organization: x"),
        ({"pointer": ""}, "x"),
        ({}, "x"),
    ],
)
def test_flaws_are_told_by_the_names_of_options(flaw: dict[str, str], says: str) -> None:
    document = problem(422, "summary", {**flaw, "detail": "x"})[1]
    refused = refusal_of(422, document, url="")
    assert str(refused) == says
    assert refused.is_about_what_was_given


def test_all_flaws_of_a_request_are_told() -> None:
    document = problem(422, "…", {"detail": "a", "pointer": "/url"}, {"detail": "b", "parameter": "state"})[1]
    assert str(refusal_of(422, document, url="")) == "URL: a; --state: b"


def test_a_conflict_is_told_whole_it_says_what_to_do() -> None:
    document = problem(409, "it breaks a: make b", {"detail": "a", "pointer": "/schema"})[1]
    assert str(refusal_of(409, document, url="")) == "it breaks a: make b"


def test_a_path_is_one_segment_whatever_is_given(standin_api: StandIn) -> None:
    assert hookline_here("deliveries", "show", "../stats?x=1#y", **standin_api.env).code == 1
    assert standin_api.asked[0].path == "/deliveries/..%2Fstats%3Fx%3D1%23y"


@pytest.mark.parametrize(("limit", "pages"), [(None, 3), (150, 2), (7, 1)])
def test_json_of_a_list_is_one_array_of_all_pages(
    limit: int | None, pages: int, standin_api: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": f"evt_{number}", "data": {"large": 2**70 + number, "é": 1.5}} for number in range(250)]
    standin_api.answers["GET /events"] = listed(*rows)
    with Api(ApiAddress(standin_api.url, TOKEN)) as api:
        print_list(api, "/events", {}, limit=limit, as_json=True, show=lambda _: None)
    assert json.loads(capsys.readouterr().out) == rows[:limit]
    assert len(standin_api.asked) == pages


def test_a_table_says_when_there_is_more(standin_api: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    standin_api.answers["GET /events"] = listed(*({"id": f"evt_{number}"} for number in range(30)))
    shown: list[int] = []
    with Api(ApiAddress(standin_api.url, TOKEN)) as api:
        for limit in (None, 29, 30):
            print_list(api, "/events", {}, limit=limit, as_json=False, show=lambda rows: shown.append(len(rows)))
    assert shown == [25, 29, 30]
    assert capsys.readouterr().err.count("there are more") == 2


def test_json_of_nothing_is_an_empty_array(standin_api: StandIn) -> None:
    standin_api.answers["GET /replays"] = listed()
    assert hookline_here("replays", "list", "--json", **standin_api.env).out == "[]\n"
    assert hookline_here("replays", "list", **standin_api.env).err == "none\n"


@pytest.mark.parametrize(
    "option", [["--rate", "nan"], ["--rate", "inf"], ["--filters", "[NaN]"], ["--filters", '["\\ud800"]']]
)
def test_what_is_no_json_is_said_and_not_sent(option: list[str], standin_api: StandIn) -> None:
    ran = hookline_here("replay", "--source", "log", "--since", "1h", *option, **standin_api.env)
    assert (ran.code, standin_api.asked) == (1, [])
    assert ran.err == "hookline: nan, inf and lone surrogates are no JSON: nothing was asked\n"
