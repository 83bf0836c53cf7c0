"""The root of Hookline's errors: everything we raise on purpose is a `HooklineError`."""


class HooklineError(Exception):
    """What we raise on purpose. `str(error)` says what is wrong and what to do, in one line, without secrets."""


class InvalidInput(HooklineError):
    """What a caller gave does not hold.

    `pointer` is a JSON pointer (RFC 6901) into what was given, "" for all of it.
    """

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        super().__init__(f"{pointer}: {detail}" if pointer else detail)
        self.detail = detail
        self.pointer = pointer
