"""The places in a document that are written by a tool."""

from pathlib import Path


def write_between_markers(document: Path, name: str, text: str) -> None:
    """Replaces what is between `<!-- name -->` and `<!-- /name -->`, which have to be there."""
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, opened, rest = document.read_text().partition(opening)
    _, closed, after = rest.partition(closing)
    if not (opened and closed):
        raise ValueError(f"{document.name} has no {opening.strip()} or no {closing.strip()}")
    document.write_text(f"{before}{opening}{text}\n{closing}{after}")
