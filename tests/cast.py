"""The cast of the tests: two tenants and their people."""

from __future__ import annotations

import datetime

NOON = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
PASSWORD = "correct horse battery"
TENANTS = {"acme": "Acme Robotics", "globex": "Globex Energy"}
PEOPLE = {
    "owner": ("owner@acme.example", [("acme", "OWNER")]),
    "operator": ("operator@acme.example", [("acme", "OPERATOR")]),
    "auditor": ("auditor@acme.example", [("acme", "AUDITOR")]),
    "viewer": ("viewer@acme.example", [("acme", "VIEWER")]),
    "outsider": ("operator@globex.example", [("globex", "OPERATOR")]),
    "consultant": ("consultant@aii.example", [("acme", "VIEWER"), ("globex", "OPERATOR")]),
}


def host(slug: str) -> str:
    return f"{slug}.localhost"
