"""The auditors' pages in a real browser: log in, overview, run, policy, at two widths."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import pytest
from werkzeug.serving import make_server

from api.app import create_app
from api.auth.passwords import hash_password
from api.wiring import Installation, owner_of
from api.workshop import desk_of, workshop_of
from config.trace import new_trace_id
from retention.alerts import VERIFIED, Looked, of_verification, raise_alerts
from retention.connectors.declarations import parse_connectors
from retention.holds import pass_gate, place
from retention.inspections import keep_inspection, read_inspection
from retention.jobs import run_once
from retention.offboardings import records
from retention.offboardings.execution import make_round as make_offboardings
from retention.policy_records import set_state
from tenants.context import TenantId
from tenants.crossing import cross_tenant
from tenants.importing import generator_of
from tenants.models import new_id
from tenants.registry import add_member, create_login, ensure_tenant, slug_of
from tests.integration.console.conftest import Evidence
from tests.integration.console.test_purges import replayed

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
LINTED = '{"statements": [], "findings": [], "summary": {"statements": 113}}'
AUDITED = '{"findings": [{"severity": "error"}], "assumed": [], "checked": 51}'
EMAIL, PASSWORD = "auditor@audit.example", "look, do not touch"
OWN_EMAIL = "auditor@linden.example"


@dataclass(frozen=True)
class Site:
    """A server with an audited shop, and the trace id of its last run."""

    base_url: str
    trace_id: str


@pytest.fixture(scope="module")
def site(installed: Installation) -> Iterator[Site]:
    trace_id = _audit(installed)
    app = create_app(installed, write_guard=partial(pass_gate, installed.app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Site(f"http://127.0.0.1:{server.server_port}", trace_id)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _audit(installed: Installation) -> str:
    """Have retention work: a run, a hold, a pause, another run, a policy made shorter."""
    ids = {}
    now = installed.clock.now()
    with owner_of(installed.settings) as owner:

        def ensure(name):
            ids[name] = ensure_tenant(owner, slug_of(name), name)
            return ids[name]

        generator_of(installed.domain)(ensure, now=now, trace_id=new_trace_id(), scale=0.2)
        with owner.transaction(None) as cursor:
            hashed = hash_password(PASSWORD)
            create_login(cursor, email=EMAIL, password_hash=hashed, is_auditor=True)
            own = create_login(cursor, email=OWN_EMAIL, password_hash=hashed)
            add_member(cursor, tenant_id=ids["Linden Books"], login_id=own, role="auditor")
    workshop = workshop_of(installed, actor="scheduler:worker-1")
    run_once(workshop, lambda: workshop.plan(as_of=now - timedelta(days=400)))
    place(
        installed.retention,
        ids["Linden Books"],
        matter="Linden v. Harbour, 2026-0417",
        reason="Preserve invoices and correspondence until the claim is settled",
        actor="login:counsel",
    )
    set_state(installed.retention, ids["Alpine Bicycles"], "old-notes", "paused", actor="tester")
    last = run_once(workshop, workshop.plan)
    shorter = tuple(
        replace(p, period="P2Y") if p.name == "old-notes" else p for p in workshop.policies
    )
    changed = replace(workshop, policies=shorter)
    changed.record()
    found = changed.verify(trace_id=new_trace_id())
    raise_alerts(installed.retention, of_verification(found), Looked(VERIFIED))
    _hand_out(installed, ids["Linden Books"])
    _erase(installed, [ids["Alpine Bicycles"], ids["Linden Books"], ids["Linden Books"]])
    _leave(installed, ids["Linden Books"])
    for text in (LINTED, AUDITED):
        keep_inspection(
            installed.retention, read_inspection(text), subject="revision 3f2a1b0c",
            tool="tenure 0.1", actor="command:ci",
        )  # fmt: skip
    return last.trace_id


CONNECTORS = """
[connectors.customer-files]
kind = "files"
root = "/nowhere"
prefix = "{tenant}/{key}"
deadline = "P7D"
"""


def _erase(installed: Installation, tenants: Sequence[TenantId]) -> None:
    """Have people ask to be erased: one waits for a connector, one for a hold, one is overdue."""
    shop = workshop_of(installed, actor="scheduler:worker-1")
    shop = replace(shop, connectors=parse_connectors(CONNECTORS))
    desk = desk_of(installed, shop)
    ann, bob = (
        replace(desk, executor=replace(desk.executor, actor=f"login:{name}"))
        for name in ("ann", "bob")
    )
    now = installed.clock.now()
    for place_, tenant in enumerate(tenants):
        with installed.retention.transaction(tenant, read_only=True) as cursor:
            cursor.execute(
                "SELECT id FROM shop.customers WHERE tenant_id = %s ORDER BY id LIMIT 3",
                (str(tenant),),
            )
            key = cursor.fetchall()[place_][0]
        received = now - timedelta(days=(3, 20, 45)[place_])
        erasure = ann.request(
            tenant, "customer", requester="the person", key=key, received_at=received
        ).id
        if place_ == 2:
            continue
        ann.confirm(erasure, how="a letter")
        ann.plan(erasure)
        bob.approve(erasure)
        desk.run(erasure)


def _hand_out(installed: Installation, tenant: TenantId) -> None:
    """Have a person have a copy, another wait for one for too long, and archived rows come back."""
    shop = workshop_of(installed, actor="command:ann")
    with installed.retention.transaction(tenant, read_only=True) as cursor:
        cursor.execute(
            "SELECT id FROM shop.customers WHERE tenant_id = %s ORDER BY id LIMIT 1", (str(tenant),)
        )
        ((key,),) = cursor.fetchall()
    shop.exporter.of_subject(
        io.BytesIO(), tenant, shop.subject("customer"), key, actor=shop.actor,
        reason="letter of 3 May",
    )  # fmt: skip
    with owner_of(installed.settings) as owner:
        evidence = Evidence(owner)
        evidence.sql(
            "INSERT INTO tenure.exports (tenant_id, id, kind, subject, subject_hash, requested_by,"
            " reason, state, received_at, problem, ended_at) VALUES (%s, %s, 'subject', 'customer',"
            " decode(repeat('07', 16), 'hex'), 'command:ann', 'ticket 4711', 'failed',"
            " now() - interval '40 days', 'No space left on device', now())",
            (str(tenant), str(new_id())),
        )
        run = evidence.run()
        evidence.batch(run, tenant, "old-notes", 12, action="archive")
        evidence.restored(run)


def _leave(installed: Installation, held: TenantId) -> None:
    """Have tenants leave: one is held, one is overdue, one in its grace, one is gone; and replays
    of which one is incomplete."""
    shop = workshop_of(installed, actor="command:ann")
    with owner_of(installed.settings) as owner:
        overdue, waiting, gone = (
            ensure_tenant(owner, slug_of(name), name)
            for name in ("Quiet Ltd", "Early Ltd", "Moved Away Ltd")
        )
        for tenant in (held, gone):
            replayed(Evidence(owner), tenant, keys=(new_id(),), state="incomplete",
                     kept={"held": {"shop.notes": 3}})  # fmt: skip
        replayed(Evidence(owner), gone, keys=(new_id(),), days=0)
    for tenant, grace, exported in (
        (held, "P0D", True), (overdue, "P0D", False), (waiting, "P30D", True), (gone, "P0D", True),
    ):  # fmt: skip
        made = records.request(
            shop.retention, tenant, actor="login:owner", reason="The contract ended", grace=grace
        )
        one = shop.offboardings().find(made)
        if exported:
            copy = shop.exporter.of_tenant(io.BytesIO(), tenant, actor=shop.actor)
            records.note_export(shop.retention, one, copy.id)
    make_offboardings(shop.offboardings())


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@dataclass
class Visit:
    """A page of the browser, and what it complained about."""

    page: playwright.Page
    base_url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        # Chromium reports violations of the content security policy to the page itself.
        self.page.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " e => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI))"
        )

    def _note(self, kind: str, message: playwright.ConsoleMessage) -> None:
        where = message.location.get("url", "")
        if kind in ("error", "warning") and not where.endswith("/favicon.ico"):
            self.complaints.append(f"{kind}: {message.text} ({where})")

    def log_in(self, email: str = EMAIL, home: str = "/console") -> None:
        """Ask for the overview, and log in on the way."""
        self.page.goto(f"{self.base_url}/console")
        assert self.page.url.startswith(f"{self.base_url}/login?next=")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{self.base_url}{home}")

    def looks_right(self) -> None:
        """Nothing was refused or failed, the page is dressed, nothing is wider than it."""
        assert self.complaints == []
        width = "e => [e.scrollWidth, e.clientWidth]"
        scroll, client = self.page.evaluate(f"({width})(document.documentElement)")
        assert scroll <= client, self.page.url
        for sheet in self.page.locator(".sheet").all():
            scroll, client = sheet.evaluate(width)
            assert scroll <= client, f"{self.page.url}: {sheet.inner_text()[:80]}"
        assert self.page.evaluate("getComputedStyle(document.body).margin") == "0px"
        assert self.page.locator("h1").count() == 1


@pytest.fixture(params=[(400, 800, "light"), (1280, 900, "dark")], ids=["narrow", "wide"])
def visit(request, browser, site):
    width, height, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, base_url=site.base_url
    )
    context.set_default_timeout(20_000)
    try:
        yield Visit(context.new_page(), site.base_url)
    finally:
        context.close()


def test_auditor_reads_from_overview_to_run_and_policy(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    visit.looks_right()
    assert page.get_by_role("heading", name="Overview", level=1).is_visible()
    checks = page.locator("#checks")
    assert checks.get_by_text("finding", exact=True).is_visible()
    page.get_by_text("more checks found nothing").click()
    assert page.locator("#checks-silent").get_by_text("none").first.is_visible()
    visit.looks_right()

    runs = page.get_by_role("table", name="The last retention runs, newest first")
    runs.get_by_role("rowheader").first.get_by_role("link").click()
    page.wait_for_url(f"**/console/runs/{site.trace_id}")
    assert page.get_by_text("digest matches").is_visible()
    assert page.get_by_text("sums agree").is_visible()
    visit.looks_right()

    page.locator("#units").get_by_role("link", name="old-notes").click()
    page.wait_for_url("**/console/policies/old-notes")
    assert page.locator("#versions ins", has_text="P2Y").is_visible()
    page.get_by_text("Whole definition").first.click()
    visit.looks_right()

    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{site.base_url}/login")


def test_every_other_page_looks_right(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    for name in (
        "Schedule", "Runs", "Verifications", "Reconciliation", "Samples", "Alerts", "Holds",
        "Changes", "Cross-tenant reads", "Inspections", "Erasures", "Connectors", "Copies",
        "Restorations", "Offboardings", "Replays",
    ):  # fmt: skip
        menu = page.get_by_role("navigation", name="Pages")
        menu.get_by_role("link", name=name, exact=True).click()
        assert page.locator("nav [aria-current=page]").inner_text() == name
        visit.looks_right()
    page.goto("/console/verifications")
    page.locator("#verifications a").first.click()
    page.locator("#results summary").first.click()
    assert page.locator("#results pre").first.is_visible()
    visit.looks_right()


def test_auditor_sees_which_erasures_wait_and_for_what(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Erasures", exact=True).click()
    page.wait_for_url("**/console/erasures")
    overdue = page.locator("#erasures tbody tr").first
    assert overdue.get_by_text("overdue", exact=True).is_visible()
    assert page.locator("#erasures").get_by_text("connector customer-files").first.is_visible()
    assert page.locator("#waiting tbody tr").count() >= 2
    visit.looks_right()
    page.get_by_role("link", name="Connectors", exact=True).click()
    page.wait_for_url("**/console/connectors")
    assert page.locator("#requests").get_by_text("in time").first.is_visible()
    visit.looks_right()


def test_auditor_sees_who_leaves_what_is_overdue_and_what_stays(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Offboardings", exact=True).click()
    page.wait_for_url("**/console/offboardings")
    shown = page.locator("#offboardings tbody")
    for outcome in ("overdue", "deferred", "in its grace", "completed"):
        assert shown.get_by_text(outcome, exact=True).count() == 1, outcome
    assert page.locator("#stays").get_by_text("the ledger is append-only").first.is_visible()
    visit.looks_right()
    page.get_by_role("link", name="Replays", exact=True).click()
    page.wait_for_url("**/console/replays")
    shown = page.locator("#replays tbody")
    assert shown.get_by_text("incomplete", exact=True).count() == 1
    assert shown.get_by_text("made good", exact=True).count() == 1
    assert page.locator("#left").get_by_text("held").first.is_visible()
    visit.looks_right()


def test_auditor_sees_who_was_handed_what_and_what_came_back(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Copies", exact=True).click()
    page.wait_for_url("**/console/exports")
    first = page.locator("#exports tbody tr").first
    assert first.get_by_text("overdue", exact=True).is_visible()
    assert page.locator("#exports").get_by_text("answered in time").first.is_visible()
    visit.looks_right()
    page.get_by_role("link", name="Restorations", exact=True).click()
    page.wait_for_url("**/console/restorations")
    assert page.locator("#restorations").get_by_text("archived by mistake").is_visible()
    visit.looks_right()


def test_auditor_asks_for_the_statement_of_a_period(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Reconciliation", exact=True).click()
    assert page.locator("h1").get_by_text("comes out even").is_visible()
    shown = page.locator("#balances tbody tr")
    assert shown.count() == 3
    page.get_by_text("The figures", exact=True).click()
    assert page.get_by_text("FROM tenure.reconciliations").first.is_visible()
    visit.looks_right()
    page.get_by_label("From").fill("2001-01-01")
    page.get_by_label("Until").fill("2001-12-31")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/console/reconciliation?from=2001-01-01&until=2001-12-31&tenant=")
    assert page.get_by_text("No account was made up to then").is_visible()
    visit.looks_right()


def test_auditor_asks_for_a_tenants_schedule_and_takes_it_along_as_pdf(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Schedule", exact=True).click()
    page.get_by_role("textbox", name="Tenant").fill("alpine-bicycles")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/console/schedule?from=&until=&tenant=alpine-bicycles")
    assert page.locator("#schedule").get_by_text("paused").is_visible()
    visit.looks_right()
    link = page.get_by_role("link", name="PDF", exact=True).get_attribute("href")
    assert link == "/console/schedule.pdf?tenant=alpine-bicycles"
    answer = page.request.get(f"{visit.base_url}{link}")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.body().startswith(b"%PDF-")


def test_auditor_draws_samples_and_looks_one_row_up(visit: Visit, site: Site):
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Samples", exact=True).click()
    page.get_by_label("Draw").fill("7")
    page.get_by_label("Seed").fill("audit-1")
    page.get_by_role("button", name="Draw samples").click()
    page.wait_for_url("**/console/samples?draw=7&seed=audit-1*")
    rows = page.locator("#samples tbody tr")
    assert rows.count() == 7
    assert "under no checkpoint yet" in rows.first.inner_text()
    visit.looks_right()
    drawn = page.locator("#samples").inner_text()
    # The link to the PDF keeps the seed, and where the period ended.
    link = page.get_by_role("link", name="JSON", exact=True).get_attribute("href")
    assert page.request.get(f"{visit.base_url}{link}").json()["samples"][0]["key_hash"] in drawn
    page.get_by_label("Row's id").fill("019a4c1e-7d2f-7a31-9c55-0f6f3c2b1a90")
    page.get_by_role("button", name="Look it up").click()
    assert page.get_by_text("No policy took a row by this key").is_visible()
    visit.looks_right()


def test_a_tenants_own_auditor_walks_through_their_pages(visit: Visit, site: Site):
    page = visit.page
    visit.log_in(OWN_EMAIL, "/console/schedule")
    menu = page.get_by_role("navigation", name="Pages")
    names = menu.get_by_role("link").all_inner_texts()
    assert names == [
        "Schedule", "Runs", "Verifications", "Reconciliation", "Samples", "Holds", "Erasures",
        "Connectors", "Copies", "Restorations", "Offboardings", "Replays", "Changes",
        "Cross-tenant reads",
    ]  # fmt: skip
    for name in names:
        menu.get_by_role("link", name=name, exact=True).click()
        assert page.locator("nav [aria-current=page]").inner_text() == name
        assert page.get_by_text("Linden Books").first.is_visible()
        assert page.get_by_text("Alpine Bicycles").count() == 0
        visit.looks_right()
    assert page.get_by_role("textbox", name="Tenant").count() == 0


def test_keyboard_reaches_the_content_first(visit: Visit, site: Site):
    visit.log_in()
    page = visit.page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("e => e === document.activeElement")
    assert skip.bounding_box()["width"] > 50
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_texts_have_contrast(visit: Visit, site: Site):
    """Every text on the overview has at least 4.5:1 against what is behind it (WCAG 2.2 AA)."""
    visit.log_in()
    poor = visit.page.evaluate(_CONTRAST)
    assert poor == []


_CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const light = c => .2126 * linear(c[0]) + .7152 * linear(c[1]) + .0722 * linear(c[2]);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.add(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""


def test_a_read_across_tenants_is_shown_with_who_why_where_and_what(
    visit: Visit, installed: Installation
):
    trace = new_trace_id()
    with cross_tenant(
        installed.verifier,
        installed.retention,
        reason="count for the bill of November",
        actor="command:ada",
        trace_id=trace,
    ) as reader:
        reader.read("SELECT count(*) FROM shop.customers WHERE name <> %s", ("a secret",))
    page = visit.page
    visit.log_in()
    page.get_by_role("link", name="Cross-tenant reads").first.click()
    page.wait_for_url("**/console/reads")
    row = page.get_by_role("row").filter(has_text=trace[:12])
    row.locator("summary").click()
    shown = row.inner_text()
    for part in (
        "command:ada",
        "count for the bill of November",
        "test_console_browser.py:",
        "SELECT count(*) FROM shop.customers WHERE name <> %s",
    ):
        assert part in shown
    assert "a secret" not in page.content()
    visit.looks_right()
