"""Who may call, for people: tokens, applications, members, users, and what was done."""

from collections.abc import Sequence

from compose.asking import Body
from compose.showing.tables import exact_time_of, print_fields, print_table, time_of, two_lines


def print_tokens(tokens: Sequence[Body]) -> None:
    """Print a table of API tokens."""
    rows = [
        (
            each["id"],
            two_lines(each["name"], f"{each['prefix']}…"),
            " ".join(each["scopes"]),
            two_lines(time_of(each["last_used_at"]), _ending(each)),
        )
        for each in tokens
    ]
    print_table(("ID", "NAME", "SCOPES", "LAST USED (UTC)"), rows, folding=[1, 2])


def print_new_token(token: Body) -> None:
    """Print a token that was just made."""
    print_fields(
        [
            ("id", token["id"]),
            ("name", token["name"]),
            ("scopes", " ".join(token["scopes"])),
            ("expires", exact_time_of(token["expires_at"]) or "never"),
            ("token", f"{token['token']}   shown this once"),
        ]
    )


def print_applications(applications: Sequence[Body]) -> None:
    """Print a table of applications."""
    rows = [
        (each["id"], two_lines(each["name"], each["kind"]), " ".join(each["scopes"]), "\n".join(each["redirect_uris"]))
        for each in applications
    ]
    print_table(("CLIENT ID", "NAME", "SCOPES", "REDIRECT URIS"), rows, folding=[1, 2, 3])


def print_new_application(application: Body) -> None:
    """Print an application whose secret is in this answer only; a public one has none."""
    secret = application.get("client_secret")
    print_fields(
        [
            ("client id", application["id"]),
            ("name", application["name"]),
            ("client secret", None if secret is None else f"{secret}   shown this once"),
        ]
    )


def print_members(members: Sequence[Body]) -> None:
    """Print a table of members."""
    rows = [(each["user_id"], each["name"], each["email"], each["role"], time_of(each["since"])) for each in members]
    print_table(("USER", "NAME", "E-MAIL", "ROLE", "SINCE (UTC)"), rows, folding=[1, 2])


def print_users(users: Sequence[Body]) -> None:
    """Print a table of accounts."""
    rows = [(each["id"], each["name"], each["email"], each["state"], time_of(each["last_login_at"])) for each in users]
    print_table(("ID", "NAME", "E-MAIL", "STATE", "LAST SIGNED IN"), rows, folding=[1, 2])


def print_audit(entries: Sequence[Body]) -> None:
    """Print a table of the audit log."""
    rows = [
        (
            time_of(each["at"]),
            two_lines(each["actor"]["name"], each["actor"]["id"]),
            each["action"],
            two_lines(each["target_id"] or "", each["address"]),
        )
        for each in entries
    ]
    print_table(("AT (UTC)", "WHO", "DID", "TO, FROM"), rows, folding=[1, 3])


def _ending(token: Body) -> str:
    if token["revoked_at"] is not None:
        return "revoked"
    return "" if token["expires_at"] is None else f"until {time_of(token['expires_at'])}"
