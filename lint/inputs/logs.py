"""SQL that ran, from PostgreSQL's own logs: csvlog and jsonlog, read as a stream.

What is taken: statements of `log_statement` and of `log_min_duration_statement`, by both the
simple and the extended protocol; of the extended one the execution, not its parse and bind.
The server's words (`lc_messages`) are English by default; those of its other languages are known.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from lint.errors import SourceError

# A record of csvlog has 23 columns since version 9.0, and more since 13 and 14.
_MESSAGE, _DETAIL, _COLUMNS = 13, 14, 23
# A statement of 32 MB is longer than any that somebody wrote.
_FIELD_LIMIT = 1 << 25
_PREFIX = re.compile(r"(?:duration: [\d.]+ ms  )?(?:statement: |execute [^:\n]*: )")
# What EXECUTE runs stands in the detail of its record.
_PREPARED = "prepare: "
# The same in the languages that PostgreSQL 15 speaks: de es fr it ja ka ko ru sv uk zh_CN.
_ELSEWHERE = re.compile(
    r"(?:[^\W\d]+ ?: [\d.]+ [^\W\d]+,? +)?"
    r"(?:(?:Anweisung|sentencia|instruction|istruzione|文|ოპერატორი|გამოსახულება|명령 구문|"
    r"оператор|sats|语句) ?: |"
    r"(?:Ausführen|ejecutar|exécute|esecuzione di|実行|取り出し実行|გაშვება|쿼리실행|자료뽑기|"
    r"выполнение|выборка из|kör|виконувати|виконати|执行)[^:\n]*: )"
)
_PREPARED_ELSEWHERE = re.compile(
    r"(?:Vorbereiten|préparation|preparazione|準備|მომზადება|подготовка|підготовка|准备) ?: "
)
_VALUE = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")


class Ran(NamedTuple):
    """A statement that ran. `line` is that of its record; `values` are bound values by number.

    `calls` how often it did, as far as this record says.
    """

    text: str
    path: str
    line: int
    detail: str = ""
    calls: int = 1

    def values(self) -> dict[int, str | None]:
        """The bound values, as the record's detail lists them; None for NULL."""
        found: dict[int, str | None] = {}
        for number, value in _VALUE.findall(self.detail):
            found[int(number)] = None if value == "NULL" else value[1:-1].replace("''", "'")
        return found


class Log:
    """A log file. `skipped` counts, once it was read, the lines that are no record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = 0
        self.skipped = 0

    def statements(self) -> Iterator[Ran]:
        """The statements, in order. Raises SourceError for what is neither csvlog nor jsonlog."""
        try:
            with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
                first = file.readline()
                file.seek(0)
                yield from self._json(file) if first.startswith("{") else self._csv(file)
        except OSError as error:
            raise SourceError(f"{self.path}: {error.strerror or error}") from error
        except csv.Error as error:
            raise SourceError(f"{self.path}: not csvlog: {error}") from error
        if not self.records and (self.skipped or first.strip()):
            raise SourceError(f"{self.path}: neither csvlog nor jsonlog of PostgreSQL")

    def _csv(self, file: TextIO) -> Iterator[Ran]:
        csv.field_size_limit(_FIELD_LIMIT)
        path, match = str(self.path), _PREFIX.match
        reader = csv.reader(file)
        line = 1
        for row in reader:
            if len(row) < _COLUMNS:
                self.skipped += 1
                # What is no csvlog at all is not read to its end.
                if not self.records and self.skipped > 100:
                    return
            else:
                self.records += 1
                message, detail = row[_MESSAGE], row[_DETAIL]
                found = match(message)
                if found is None:
                    yield from _said_elsewhere(message, detail, path, line)
                elif detail[:9] == _PREPARED:
                    yield Ran(detail[9:], path, line)
                else:
                    yield Ran(message[found.end() :], path, line, detail)
            line = reader.line_num + 1

    def _json(self, file: TextIO) -> Iterator[Ran]:
        path, match, loads = str(self.path), _PREFIX.match, json.loads
        for line, text in enumerate(file, 1):
            try:
                record = loads(text)
                message = record["message"]
            except (ValueError, KeyError, TypeError):
                self.skipped += bool(text.strip())
                if not self.records and self.skipped > 100:
                    return
                continue
            self.records += 1
            detail = record.get("detail") or ""
            found = match(message)
            if found is None:
                yield from _said_elsewhere(message, detail, path, line)
            elif detail[:9] == _PREPARED:
                yield Ran(detail[9:], path, line)
            else:
                yield Ran(message[found.end() :], path, line, detail)


def _said_elsewhere(message: str, detail: str, path: str, line: int) -> Iterator[Ran]:
    """The statement of a record in another language than English, if it is about one."""
    found = _ELSEWHERE.match(message)
    if found is not None:
        prepared = _PREPARED_ELSEWHERE.match(detail)
        if prepared is None:
            yield Ran(message[found.end() :], path, line, detail)
        else:
            yield Ran(detail[prepared.end() :], path, line)
