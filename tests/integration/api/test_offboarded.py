"""A tenant that leaves, over HTTP: served until its deletion begins, and not a moment longer."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from api.workshop import workshop_of
from retention.offboardings import records


def test_the_api_serves_it_during_the_grace_and_refuses_it_once_the_deletion_began(
    service: Any, acme: Any, globex: Any
) -> None:
    acme.customer("1")
    kept = globex.customer("1")
    shop = workshop_of(service.installation, actor="command:ann")
    offboarding_id = records.request(
        shop.retention, acme.id, actor=shop.actor, reason="contract ended", grace="P0D"
    )
    acme.customer("2")
    work = shop.offboardings()
    made = shop.exporter.of_tenant(io.BytesIO(), acme.id, actor=shop.actor)
    records.note_export(shop.retention, work.find(offboarding_id), made.id)
    acme.customer("3")
    answers: list[int] = []

    def on_step(step: str) -> None:
        if step in ("started", "committed", "verified"):
            row = {"number": "9", "name": "Late", "country": "France"}
            answers.append(acme.call("POST", "/v1/customers", json=row).status_code)
            answers.append(acme.get("/v1/customers").status_code)

    one = replace(work, on_step=on_step).run(offboarding_id).offboarding
    assert one.state == "completed"
    assert one.counts["deleted"]["shop.customers"] == {"delete": 3}
    assert len(answers) >= 6
    assert set(answers) == {401}
    assert [row["id"] for row in globex.get("/v1/customers").json] == [kept["id"]]
