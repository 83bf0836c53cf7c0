"""What an organization may call its own event types: nothing that the built-in catalogue has, or may come to have.

Hookline and the services beside it publish built-in types to every organization. If `user.merged` could be an own
type, a later release that brings one would find events of two meanings under one name. So a name's first word is the
catalogue's as soon as one built-in type begins with it. Only new definitions are asked: what is there stays, and goes
before a later built-in type of its name (`Catalogue.get`), unless Hookline alone publishes that.
"""

from typing import Final

from api.errors import Conflict
from schemas.catalogue import catalogue
from schemas.errors import InvalidInput

TAKEN: Final = frozenset({"hookline", *(name.partition(".")[0] for name in catalogue())})  # first words


def check_not_built_in(name: str) -> None:
    """Raise Conflict for the name of a built-in type."""
    if name in catalogue():
        raise Conflict(f"{name} is a built-in event type: choose another name")


def check_first_word(name: str) -> None:
    """Raise InvalidInput for a name that begins as built-in types do.

    It is not asked of a new major version of an own type that is there (`stem_of`): that must be able to go on.
    """
    first = name.partition(".")[0]
    if first in TAKEN:
        detail = f"names that begin with {first}. are Hookline's own, and more may come: choose another resource"
        raise InvalidInput(f"{detail}, such as our_{name}", pointer="/name")
