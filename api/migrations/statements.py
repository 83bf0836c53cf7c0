"""SQL of several statements, as migrations write it."""

from alembic import op


def run(statements: str) -> None:
    """Execute statements that end with a semicolon at the end of a line."""
    for statement in statements.split(";\n"):
        if statement.strip():
            op.execute(statement)
