"""The command line as documents and compose.yaml name it."""

from collections.abc import Sequence
from typing import Any

from typer.main import get_command

from compose.command import app


def options_of(words: Sequence[str]) -> set[str]:
    """Return the options of the command that `words` call, `["topics", "apply"]`; fails when there is none."""
    command: Any = get_command(app)  # typer brings a click of its own, which is private
    for word in words:
        commands = getattr(command, "commands", {})
        assert word in commands, f"no such command: hookline {' '.join(words)}"
        command = commands[word]
    does_something = command.params or not hasattr(command, "commands")  # a group without options prints its help
    assert does_something, f"a group alone does nothing: hookline {' '.join(words)}"
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
