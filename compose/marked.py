"""Parts of documents that are written by the code they tell of, between two markers."""


def with_part(document: str, name: str, text: str) -> str:
    """Return the document with `text` as its part `name`; raises ValueError when it has no markers for it."""
    begin, end = f"<!-- {name}: written by `make settings` -->", f"<!-- end of {name} -->"
    before, began, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not (began and ended):
        raise ValueError(f"the document has no {begin} … {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
