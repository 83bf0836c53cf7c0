"""What every problem document has, wherever it comes from."""

import httpx


def problem_of(response: httpx.Response, status: int) -> dict[str, object]:
    """Return the response's problem document after checking what all of them share."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    assert document["status"] == status
    assert str(document["type"]).startswith("urn:hookline:problem:")
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == response.headers["x-request-id"]
    return document


def pointers_of(response: httpx.Response) -> list[str]:
    """Return the JSON pointers of a 422's flaws."""
    errors = problem_of(response, 422)["errors"]
    assert isinstance(errors, list)
    return [error["pointer"] for error in errors if "pointer" in error]


def parameters_of(response: httpx.Response) -> list[str]:
    """Return the query parameters of a 422's flaws."""
    errors = problem_of(response, 422)["errors"]
    assert isinstance(errors, list)
    return [error["parameter"] for error in errors if "parameter" in error]
