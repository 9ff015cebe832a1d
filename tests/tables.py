"""Owns the places of measured tables in documents: between a pair of marks, replaced as a whole."""


def write_into(path, name, text):
    """Put a text between its two marks in a document."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{path} has no place for {name}: {begin}…{end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
