"""docs/identity.md shows permissions, roles and limits as the code has them."""

import pytest

from api.permissions import COARSE, GRANTABLE, OPERATORS, Permission
from compose.marked import with_part
from compose.permissions_table import DOCUMENT, permissions_table, written


def test_the_document_is_of_today() -> None:
    document = DOCUMENT.read_text()
    assert written(document) == document, "run `make settings`"


@pytest.mark.parametrize("scope", list(COARSE))
def test_the_document_names_what_a_coarse_scope_sums_up(scope: str) -> None:
    listed = DOCUMENT.read_text().split(f"- **`{scope}`**: ")[1].split(".")[0]
    assert {each.strip("`\n ") for each in listed.split(",")} == {str(each) for each in COARSE[scope]}


def test_each_permission_is_a_row_and_the_operators_are_nobodys() -> None:
    rows = {line.split("`")[1]: line for line in permissions_table().splitlines() if line.startswith("| `")}
    assert set(rows) == {str(each) for each in Permission}
    for each in OPERATORS:
        assert "yes" not in rows[each]
    for each in GRANTABLE:
        assert "yes" in rows[each]


def test_a_document_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="has no <!-- limits"):
        with_part("nothing here", "limits", "text")
