from browser import chromium


def pytest_configure(config):
    """Install a browser where there is none, once, before two workers look for one."""
    if not hasattr(config, "workerinput"):
        with chromium():
            pass
