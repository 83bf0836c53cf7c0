"""The guard broken in one place each, so that the suite can be seen to notice. Only in the world of `world.py`."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from processors import dialling, judging
from processors.dialling import GuardedResolver
from processors.judging import Judge
from processors.own_addresses import OwnAddresses


def _pass(*_: object, **__: object) -> None:
    """Find nothing wrong."""


def _put(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


def _without_lists() -> None:
    for module in (judging, dialling):
        _put(module, "is_within", lambda *_: True)


def _without_resolver() -> None:
    async def resolve(self: GuardedResolver, *arguments: Any, **named: Any) -> Any:
        return await self._inner.resolve(*arguments, **named)

    _put(GuardedResolver, "resolve", resolve)


def _with_a_second_lookup() -> None:
    judged = GuardedResolver.resolve

    async def resolve(self: GuardedResolver, *arguments: Any, **named: Any) -> Any:
        await judged(self, *arguments, **named)
        return await self._inner.resolve(*arguments, **named)

    _put(GuardedResolver, "resolve", resolve)
    _put(Judge, "check_dialled", _pass)


def _on_every_port() -> None:
    whole = Judge.check_dialled
    _put(Judge, "check_dialled", lambda self, address, _, allowed: whole(self, address, 443, allowed))


WAYS: Final[dict[str, Callable[[], None]]] = {
    "the table": partial(_put, judging, "refusal_of", _pass),
    "own addresses": partial(_put, OwnAddresses, "__contains__", lambda *_: False),
    "the resolver": _without_resolver,
    "the socket": partial(_put, Judge, "check_dialled", _pass),
    "a second lookup": _with_a_second_lookup,
    "ports": _on_every_port,
    "lists": _without_lists,
}
