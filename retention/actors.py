"""Who acts, as records have them, and whether two of them are shown to be two people.

`login:ID` identifies: a password or a token was checked, and the id stays, whatever becomes of the
person's name and address. `command:NAME` is only a name: what the operating system calls the
account that ran a command. Who else may run commands as that account, and who has a login beside
it, is not known here.
"""

from __future__ import annotations


def is_another(actor: str, than: str) -> bool:
    """Tell whether `actor` is shown to be another than `than`: two logins, or two accounts' names.

    A login and an account may be one person's, and so may never count as two.
    """
    return actor != than and _kind(actor) == _kind(than)


def _kind(actor: str) -> str:
    kind, colon, _ = actor.partition(":")
    return kind if colon else ""
