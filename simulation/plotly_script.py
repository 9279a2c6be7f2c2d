"""plotly.js out of the Python package, compressed once in each process: 1.4 MB on the wire, cached
for a year.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import metadata, resources

# Plotly writes two style elements into the page; the policy allows these two, by their hashes.
STYLE_HASHES = [
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='",
]


@cache
def version() -> str:
    """Return the version, which stands in the address: a new one is a new file."""
    return metadata.version("plotly")


def script() -> bytes:
    """Return plotly.min.js."""
    return resources.files("plotly").joinpath("package_data/plotly.min.js").read_bytes()


@cache
def compressed_script() -> bytes:
    """Return plotly.min.js as gzip."""
    return gzip.compress(script(), 6, mtime=0)
