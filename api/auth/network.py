"""Where a request comes from, as far as attempts are counted."""

from __future__ import annotations

import ipaddress

from flask_limiter.util import get_remote_address


def network_of_caller() -> str:
    """Return the caller's address; of IPv6 the /64, for who has one has all of it."""
    address = get_remote_address()
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))
