"""Static files: which are taken, and their names, which carry their content's hash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.staticfiles.finders import AppDirectoriesFinder
from whitenoise.storage import CompressedManifestStaticFilesStorage

# Extensions of htmx that we do not use; one imports a file that its package lacks, and
# collectstatic stops at it.
UNUSED = ["hx-*.js", "htmx-2-compat*"]


class AppFinder(AppDirectoriesFinder):
    """Files of installed packages, without those that nobody here uses."""

    def list(self, ignore_patterns: Iterable[str] | None) -> Any:
        """Yield each file to collect."""
        return super().list([*(ignore_patterns or []), *UNUSED])


class ManifestStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """WhiteNoise's storage; it also rewrites ``import … from "./x.js"`` of JavaScript modules."""

    support_js_module_import_aggregation = True
