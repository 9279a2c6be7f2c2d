"""Static files under names that carry their content's hash, JavaScript modules' imports
included.
"""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ManifestStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """WhiteNoise's storage, which also rewrites ``import … from "./x.js"``."""

    support_js_module_import_aggregation = True
