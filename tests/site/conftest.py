import pytest

import browser


def pytest_configure(config):
    """Bring a browser where there is none, once, before two workers look for one."""
    if not hasattr(config, "workerinput"):
        try:
            browser.install()
        except SystemExit as remedy:
            pytest.exit(str(remedy), returncode=1)
