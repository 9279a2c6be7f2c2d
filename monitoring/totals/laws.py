"""Which quantities are audited across tenants, by which law, counted in what."""

from __future__ import annotations

from conservation import Kind
from conservation.totals import FINE_QUANTUM_LOG2, GlobalLaw
from monitoring.readings import UNITS

# Money and tokens will stand here as well: exact, counted in minor units.
LAWS = (
    # Integrators let energy stray; each account's own bound is its part of the limit.
    GlobalLaw("energy", UNITS["energy"], FINE_QUANTUM_LOG2, Kind.BOUNDED),
    # The length of each account's momentum. Exact accounts lend no limit, so a sum of such accounts
    # has limit 0; the double that carries an exact length changes with it or not at all.
    GlobalLaw("momentum", UNITS["momentum"], FINE_QUANTUM_LOG2, Kind.ROUND_OFF),
    GlobalLaw("information", UNITS["information"], 0, Kind.EXACT),
)
