"""Serve the public web app where PERENNIAL_WEB_HOST and PERENNIAL_WEB_PORT say: `make hooks`."""

import logging

import uvicorn

from perennial.foundation.settings import load_settings
from perennial.web.app import create_app


def main() -> None:
    """Serve until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings()
    app = create_app(settings)
    uvicorn.run(app, host=settings.web_host, port=settings.web_port, access_log=False)  # addresses hold people's tokens


if __name__ == "__main__":
    main()
