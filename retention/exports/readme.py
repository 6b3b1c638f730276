"""What stands beside the data, for the person who reads it."""

from __future__ import annotations

README = "README.txt"

_SUBJECT = """\
This is a copy of the personal data that we hold about you in our database (GDPR, Article 15(3)).
"""
_TENANT = """\
This is a copy of the rows that you have in our database: all of your tables, archives included.
"""
_REST = """
manifest.json  lists every file: how many rows, which columns, how long they are kept and on what
               legal basis, and who else has been given data of this kind ("recipients").
SCHEMA.TABLE.json  the rows of one table, a JSON array of objects. Numbers that programs round
               (numeric, bigint) are written as texts. This is the exact form.
SCHEMA.TABLE.csv   the same for spreadsheets, UTF-8. Nothing between two commas: no value; "": an
               empty text. Where a text begins with ', take that one ' off: it keeps spreadsheets
               from running the text as a formula.
SHA256SUMS     checks that the files are as we wrote them: sha256sum -c SHA256SUMS

Instants are in UTC (ISO 8601). What stands outside of the database, such as files and what the
recipients have, is not in here.
"""


def readme(kind: str) -> str:
    """Return the text for an export of a "subject" or of a "tenant"."""
    return (_SUBJECT if kind == "subject" else _TENANT) + _REST
