"""The PDF builder, by what another program (poppler) reads and paints of its documents."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.reports.pdf import Column, Document, digest
from retention.reports.pdf_charts import BarChart, LineChart, Series, amount, scale
from retention.reports.pdf_text import install_fonts, markup, printable

pytestmark = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="poppler-utils is not installed"
)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def built(write: Callable[[Document], object], **options) -> bytes:
    document = Document("Paper", at=NOON, **options)
    write(document)
    return document.build()


def poppler(tool: str, pdf: bytes, *options: str) -> str:
    done = subprocess.run(
        [tool, *options, "-", *(["-"] if tool == "pdftotext" else [])],
        input=pdf,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b"", done.stderr.decode()
    return done.stdout.decode()


def text_of(pdf: bytes) -> str:
    return poppler("pdftotext", pdf, "-layout")


def words_of(pdf: bytes) -> list[str]:
    return unicodedata.normalize("NFC", poppler("pdftotext", pdf)).split()


def info_of(pdf: bytes) -> dict[str, str]:
    lines = poppler("pdfinfo", pdf).splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize(
    "text",
    [
        "<b>bold</b>",
        "<para><img src='file:///etc/passwd'/></para>",
        "&amp; &lt; &#65;",
        "</b></para>",
        '<a href="http://example.org">x</a>',
        "{} %s %(x)s",
    ],
)
def test_markup_is_printed_and_not_obeyed(text):
    def write(d: Document) -> None:
        d.heading(text)
        d.paragraph(text)
        d.note(text)
        d.code(text)
        d.facts([(text, text)])
        d.table([Column(text)], [[text]])
        d.bar_chart(BarChart(text, ((text, 1),)))
        d.line_chart(LineChart(text, (Series(text, ((NOON, 1.0),)),)))

    pdf = built(write)
    shown = " ".join(words_of(pdf))
    assert shown.count(text) >= 10, shown
    assert b"/URI" not in pdf


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ωμέγα Привет Łódź Strauß Ţara Hanoï Việt", "Ωμέγα Привет Łódź Strauß Ţara Hanoï Việt"),
        ("e\u0301", "é"),
        ("a\x00b\x07c", "a⟨U+0000⟩b⟨U+0007⟩c"),
        ("漢字", "⟨U+6F22⟩⟨U+5B57⟩"),
        ("שלום", "⟨U+05E9⟩⟨U+05DC⟩⟨U+05D5⟩⟨U+05DD⟩"),
        ("سلام", "⟨U+0633⟩⟨U+0644⟩⟨U+0627⟩⟨U+0645⟩"),
        ("pay\u202etxt", "pay⟨U+202E⟩txt"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("soft\u00adhyphen", "soft⟨U+00AD⟩hyphen"),
        ("\N{GRINNING FACE}", "⟨U+1F600⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\ue000\U0010ffff", "⟨U+E000⟩⟨U+10FFFF⟩"),
        ("⟨U+0041⟩", "⟨U+27E8⟩U+0041⟨U+27E9⟩"),
        ("\u2028\u2029", "⟨U+2028⟩⟨U+2029⟩"),
    ],
)
def test_every_character_is_seen_or_named(text, shown):
    pdf = built(lambda d: d.table([Column("What")], [[text]]))
    assert " ".join(shown.split()) in " ".join(words_of(pdf)).replace("\u00a0", " ")
    assert ("its Unicode code point" in text_of(pdf)) == ("⟨" in shown)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=40))
def test_any_text_can_be_put_into_any_piece(text):
    def write(d: Document) -> None:
        d.heading(text, 2)
        d.paragraph(text)
        d.code(text)
        d.facts([(text, text)], mono=[text])
        d.table([Column(text), Column("x", align="right", mono=True)], [[text, text]])
        d.bar_chart(BarChart(text, ((text, 0),)))

    document = Document(text, at=NOON, subject=text, reference=text)
    write(document)
    assert info_of(document.build())["Pages"].isdigit()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n\t"), max_size=30))
def test_what_is_printed_can_be_read_back(text):
    """No two texts print alike but for composition: what stands for a character names it alone."""
    install_fonts()
    back, rest = "", printable(text)
    while rest:
        if rest.startswith("⟨U+"):
            code, _, rest = rest[3:].partition("⟩")
            back += chr(int(code, 16))
        else:
            back, rest = back + rest[0], rest[1:]
    assert back == unicodedata.normalize("NFC", text)


def test_spaces_and_line_ends_are_kept():
    install_fonts()
    assert printable("a\r\nb\tc") == "a\nb   c"
    query = "SELECT 1\n  FROM t\n WHERE a  = 1"
    lines = text_of(built(lambda d: d.code(query))).replace("\u00a0", " ").splitlines()
    shown = [line for line in lines if line.strip()][1:4]
    assert shown[0].strip() == "SELECT 1"
    assert "FROM" in shown[1]
    assert shown[1].index("FROM") > shown[0].index("SELECT")
    assert markup("   x") == "\u00a0\u00a0\u00a0x"


def test_words_without_end_and_rows_longer_than_a_page_lose_nothing():
    long_word, long_row = "x" * 20_000, " ".join(f"w{i}" for i in range(12_000))

    def write(d: Document) -> None:
        d.facts([("Reason", long_word)])
        d.table([Column("A"), Column("B")], [[long_word, "b"], ["a", long_row]])
        d.code(long_word)

    shown = "".join(words_of(built(write)))
    assert shown.count("x") == 60_000 + "".join(["Tenure", "page"]).count("x")
    for i in range(0, 12_000, 997):
        assert f"w{i}" in shown


@pytest.mark.parametrize("length", [3_000, 30_000])
def test_headings_and_paragraphs_longer_than_a_page_lose_nothing(length):
    def write(d: Document) -> None:
        d.heading("x" * length)
        d.table([Column("A")], [["x" * length]])
        d.heading("x" * length, 2)
        d.paragraph("x" * length)
        d.note("x" * length)

    assert "".join(words_of(built(write))).count("x") >= 5 * length


def test_a_table_that_breaks_has_its_head_on_each_page_and_pages_are_numbered():
    rows = [[f"policy-{i}", str(i)] for i in range(200)]
    pdf = built(
        lambda d: d.table([Column("Policy"), Column("Rows", align="right")], rows),
        reference="run 3f2a",
    )
    pages = text_of(pdf).rstrip("\f").split("\f")
    assert len(pages) == int(info_of(pdf)["Pages"]) >= 4
    for number, page in enumerate(pages, 1):
        assert "Policy" in page.split("policy-")[0]
        assert f"run 3f2a · 2026-01-31 12:00 UTC · page {number} of {len(pages)}" in page
    assert [w for w in words_of(pdf) if w.startswith("policy-")] == [row[0] for row in rows]


def test_a_table_without_rows_says_so_and_cells_must_fit_the_columns():
    assert "No run is recorded." in text_of(
        built(lambda d: d.table([Column("Run")], [], empty="No run is recorded."))
    )
    with pytest.raises(ValueError, match="2 cells in a table of 1 columns"):
        built(lambda d: d.table([Column("Run")], [["a", "b"]]))


def test_what_is_in_the_metadata():
    pdf = built(lambda d: d.paragraph("x"), subject="What was deleted", reference="run 3f2a")
    info = info_of(pdf)
    assert info["Title"] == "Paper"
    assert info["Subject"] == "What was deleted"
    assert info["Keywords"] == "run 3f2a"
    assert info["Author"] == info["Creator"] == "Tenure"
    assert info["JavaScript"] == "no"
    assert info["Encrypted"] == "no"
    dates = poppler("pdfinfo", pdf, "-rawdates")
    assert dates.count("D:20260131120000+00'00'") == 2


def test_fonts_are_embedded(tmp_path):
    path = tmp_path / "x.pdf"
    path.write_bytes(full())
    listed = subprocess.run(["pdffonts", path], capture_output=True, check=True, text=True).stdout
    fonts = [line.split() for line in listed.splitlines()[2:]]
    assert len(fonts) >= 3
    for font in fonts:
        assert "+DejaVu" in font[0]
        assert font[-5] == "yes", listed


def full(at: datetime = NOON) -> bytes:
    document = Document("Paper", at=at, landscape=True)
    document.heading("One")
    document.heading("Two", 2)
    document.paragraph("Ωμέγα")
    document.code("SELECT 1")
    document.table([Column("A", mono=True)], [["Привет"]] * 80)
    points = tuple((NOON + timedelta(days=i), float(i % 7)) for i in range(30))
    document.line_chart(LineChart("Overdue", (Series("overdue", points),)))
    document.bar_chart(BarChart("Deleted", (("a", 3), ("b", 0))))
    return document.build()


def test_equal_documents_are_equal_bytes_whenever_and_wherever_they_are_made():
    here = full()
    time.sleep(1.1)
    assert full() == here
    assert full(NOON.astimezone(timezone(timedelta(hours=5)))) == here
    assert full(NOON + timedelta(seconds=1)) != here
    with ThreadPoolExecutor(4) as threads:
        assert {digest(pdf) for pdf in threads.map(lambda _: full(), range(8))} == {digest(here)}
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from tests.unit.retention.test_pdf import full, digest; print(digest(full()))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).resolve().parents[3])],
        capture_output=True, check=True, text=True,
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"},
    ).stdout.strip()  # fmt: skip
    assert elsewhere == digest(here)


def test_an_instant_without_time_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        Document("Paper", at=datetime(2026, 1, 31))  # noqa: DTZ001 - the fault


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (3, (0, 1, 2, 3)),
        (100, (0, 25, 50, 75, 100)),
        (101, (0, 50, 100, 150)),
        (0.2, (0, 0.05, 0.1, 0.15, 0.2)),
        (3_254_448, (0, 1_000_000, 2_000_000, 3_000_000, 4_000_000)),
    ],
)
def test_an_axis_has_round_ticks(most, ticks):
    assert scale(most) == pytest.approx(ticks)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1e15))
def test_an_axis_covers_what_is_drawn_and_never_crowds(most):
    ticks = scale(most)
    assert ticks[0] == 0
    assert ticks[-1] >= most * 0.999999
    assert 2 <= len(ticks) <= 6


def test_amounts_have_their_thousands_apart():
    assert amount(3254448) == "3\u00a0254\u00a0448"
    assert amount(0.25) == "0.25"


def test_a_chart_tells_its_extremes_and_a_gap_stays_one(tmp_path):
    points = tuple(
        (NOON + timedelta(days=i), None if 10 <= i < 20 else float(i * 10)) for i in range(31)
    )
    drawn = built(lambda d: d.line_chart(LineChart("Overdue", (Series("rows", points),))))
    shown = text_of(drawn)
    for word in ("Overdue", "rows", "300", "2026-01-31", "2026-03-02"):
        assert word in shown
    whole = tuple((at, v or 0.0) for at, v in points)
    assert painted(drawn, tmp_path) < painted(
        built(lambda d: d.line_chart(LineChart("Overdue", (Series("rows", whole),)))), tmp_path
    )
    empty = LineChart("Overdue", (Series("rows", ()),))
    assert "No figures in this period." in text_of(built(lambda d: d.line_chart(empty)))
    with pytest.raises(ValueError, match="5 series"):
        LineChart("x", (Series("y", ()),) * 5)


def test_bars_are_as_long_as_their_amounts(tmp_path):
    def bar(value: float) -> int:
        chart = BarChart("Deleted", (("most", 1000), ("some", value)))
        return painted(built(lambda d: d.bar_chart(chart)), tmp_path)

    none, half, full_length = bar(0), bar(500), bar(1000)
    assert (full_length - none) == pytest.approx(2 * (half - none), rel=0.05)


def painted(pdf: bytes, folder: Path) -> int:
    """Return how many pixels of the page are blue, as its lines and bars are."""
    from PIL import Image

    (folder / "x.pdf").write_bytes(pdf)
    subprocess.run(
        ["pdftoppm", "-r", "72", "-png", "-singlefile", folder / "x.pdf", folder / "x"], check=True
    )
    with Image.open(folder / "x.png") as image:
        colours = image.convert("RGB").getcolors(1 << 24) or []
    return sum(count for count, (r, _, b) in colours if b > r + 60)


def test_a_thousand_rows_are_made_in_seconds():
    rows = [
        [f"policy-{i}", str(i), "a" * 32, "some reason or other", "x", "y"] for i in range(1000)
    ]
    began = time.monotonic()
    built(lambda d: d.table([Column(str(i)) for i in range(6)], rows), landscape=True)
    assert time.monotonic() - began < 20
