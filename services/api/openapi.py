"""`python -m services.api.openapi` prints the OpenAPI document, which docs/openapi.json keeps."""

from __future__ import annotations

import json
import sys

from services.api.app import build_api


def main() -> None:
    """Write the document to standard output."""
    json.dump(build_api(None).openapi(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
