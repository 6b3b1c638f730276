"""The real postgrest client from PyPI against a live server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from postgrest import APIError, CountMethod, SyncPostgrestClient
from werkzeug.serving import make_server


@pytest.fixture
def clients(service) -> Iterator[tuple[SyncPostgrestClient, SyncPostgrestClient]]:
    """A client per tenant."""
    server = make_server("127.0.0.1", 0, service.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.port}/v1"
    try:
        with (
            SyncPostgrestClient(url, headers=service.acme.headers()) as acme,
            SyncPostgrestClient(url, headers=service.globex.headers()) as globex,
        ):
            yield acme, globex
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def row(number: str, **more):
    return {"number": number, "name": f"n{number}", "country": "France", **more}


def test_the_client_creates_reads_changes_and_deletes(clients) -> None:
    acme, globex = clients
    created = acme.table("customers").insert([row("1"), row("2", email="b@x"), row("3")]).execute()
    assert [r["number"] for r in created.data] == ["1", "2", "3"]
    globex.table("customers").insert(row("1")).execute()
    page = (
        acme.table("customers")
        .select("number", "label:name", count=CountMethod.exact)
        .order("number", desc=True)
        .range(0, 1)
        .execute()
    )
    assert page.data == [{"number": "3", "label": "n3"}, {"number": "2", "label": "n2"}]
    assert page.count == 3
    changed = acme.table("customers").update({"name": "x"}).eq("number", "2").execute()
    assert [r["name"] for r in changed.data] == ["x"]
    deleted = acme.table("customers").delete().neq("number", "2").execute()
    assert sorted(r["number"] for r in deleted.data) == ["1", "3"]
    assert [r["number"] for r in acme.table("customers").select("*").execute().data] == ["2"]
    assert len(globex.table("customers").select("*").execute().data) == 1


def test_the_clients_filters_mean_here_what_they_mean_there(clients) -> None:
    acme, _ = clients
    names = ["a,b", 'say "x"', "back\\slash", "(paren)", "plain", "dot.ted", "k:v"]
    acme.table("customers").insert(
        [row(str(n), name=name, email=name if n % 2 else None) for n, name in enumerate(names)]
    ).execute()

    def found(query) -> list[str]:
        return [r["name"] for r in query.order("number").execute().data]

    def select():
        return acme.table("customers").select("name")

    for name in names:
        assert found(select().eq("name", name)) == [name]
        assert found(select().in_("name", [name, "none"])) == [name]
    assert found(select().in_("name", names)) == names
    assert found(select().in_("name", [])) == []
    assert found(select().not_.in_("name", names[1:])) == names[:1]
    assert found(select().neq("name", "plain").gt("number", "3")) == names[5:]
    assert found(select().like("name", "%paren%")) == ["(paren)"]
    assert found(select().ilike("name", "PL%")) == ["plain"]
    assert found(select().is_("email", None)) == names[::2]
    assert found(select().not_.is_("email", "null")) == names[1::2]
    assert found(select().gte("number", 2).lte("number", 3)) == names[2:4]
    assert found(select().or_('name.eq."a,b",and(number.gt.3,number.lt.5)')) == ["a,b", "plain"]
    assert found(select().not_.or_("number.gt.0,number.eq.9")) == ["a,b"]
    assert found(select().match({"number": "1", "name": names[1]})) == [names[1]]


def test_single_and_maybe_single(clients) -> None:
    acme, _ = clients
    acme.table("customers").insert([row("1"), row("2")]).execute()
    one = acme.table("customers").select("number").eq("number", "1").single().execute()
    assert one.data == {"number": "1"}
    assert acme.table("customers").select("*").eq("number", "9").maybe_single().execute() is None
    with pytest.raises(APIError) as caught:
        acme.table("customers").select("*").single().execute()
    assert (caught.value.code, caught.value.details) == ("PGRST116", "The result contains 2 rows")


def test_counting_without_rows(clients) -> None:
    acme, _ = clients
    acme.table("customers").insert([row("1"), row("2")]).execute()
    counted = acme.table("customers").select("*", count=CountMethod.exact, head=True).execute()
    assert counted.count == 2


def error_of(query) -> APIError:
    with pytest.raises(APIError) as caught:
        query.execute()
    return caught.value


def test_errors_come_with_message_code_details_and_hint(clients) -> None:
    acme, globex = clients
    acme.table("customers").insert(row("1")).execute()
    table = acme.table
    for query, code in (
        (table("customers").select("nothing"), "PGRST204"),
        (table("customers").select("*").eq("nothing", 1), "PGRST204"),
        (table("customers").select("*").eq("id", 1), "22P02"),
        (table("customers").select("*").fts("name", "x"), "PGRST100"),
        (table("customers").select("*, invoices(*)"), "PGRST200"),
        (table("customers").insert(row("1")), "23505"),
        (table("customers").insert({"name": "x"}), "invalid_body"),
        (table("customers").insert(row("2", tenant_id="x")), "invalid_body"),
        (table("customers").upsert(row("1")), "PGRST122"),
        (table("customers").delete(), "21000"),
        (table("nothing").select("*"), "PGRST205"),
        (table("customers").select("*").csv(), "PGRST107"),
        (table("customers").select("*", count=CountMethod.exact).range(5, 9), "PGRST103"),
    ):
        error = error_of(query)
        assert error.code == code, (error, code)
        assert error.message
    embedding = error_of(table("customers").select("*, invoices(*)"))
    assert embedding.details
    assert embedding.hint
    globex.session.headers["Authorization"] = "Bearer tnr_" + "a" * 43
    unauthorized = error_of(
        SyncPostgrestClient(str(globex.base_url), headers={"Authorization": "Bearer x"})
        .table("customers")
        .select("*")
    )
    assert unauthorized.code == "PGRST301"
