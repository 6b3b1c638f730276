"""What `tenure import NAME FILE` can import into the shop."""

from __future__ import annotations

from shop.online_retail import import_online_retail

IMPORTERS = {"online-retail": import_online_retail}
