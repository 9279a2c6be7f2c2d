#!/usr/bin/env python
"""Django's command line. Works by itself: the embedded services are started where a command needs
them.
"""

import os
import sys

# Commands that work without a database; all others get one.
WITHOUT_SERVICES = {
    "simulate",
    "roi",
    "makemigrations",
    "check",
    "help",
    "collectstatic",
    "--help",
    "--version",
    "version",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aii_site.settings.development")
    from django.db import OperationalError

    from aii_site import embedded

    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in WITHOUT_SERVICES or "--help" in sys.argv:
        run()
        return
    try:
        with embedded.services_for_command(embedded.default_home()) as environment:
            os.environ.update(environment)
            run()
    except embedded.ServiceError as problem:
        sys.exit(str(problem))
    except OperationalError as problem:
        sys.exit(f"The database does not answer: {str(problem).splitlines()[0]}")


def run() -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
