"""How the app is, for those who run it."""

import hmac
import logging

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from perennial.foundation.errors import PerennialError
from perennial.web.site import Here

router = APIRouter()
log = logging.getLogger(__name__)


@router.get("/health")
async def health() -> JSONResponse:
    """Whether the process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/ready")
def ready(site: Here) -> JSONResponse:
    """Whether the ledger can be reached and has the schema of this version."""
    try:
        site.ledger.require_schema()
    except PerennialError as error:
        log.warning("Not ready: %s", error)
        return JSONResponse({"status": "not ready"}, status_code=503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics")
def metrics(request: Request, site: Here) -> Response:
    """Figures for Prometheus, which shows PERENNIAL_METRICS_TOKEN: how much is sent is nobody else's business."""
    wanted = site.settings.metrics_token
    if wanted is None:
        raise HTTPException(404)
    shown = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(shown, f"Bearer {wanted.get_secret_value()}".encode()):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return Response(site.figures.text(site.ledger), media_type="text/plain; version=0.0.4; charset=utf-8")
