"""Webhooks as SendGrid sends them, against the real web app in a process of its own."""

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from perennial.delivery.webhooks import sendgrid
from perennial.foundation.settings import REPOSITORY
from perennial.ledger import Outcome, State, open_ledger

sys.path.append(str(REPOSITORY / "tests"))
from outbox import NOW, fill, settings_in

KEY = ec.generate_private_key(ec.SECP256R1())
CONNECTIONS = 4
_KINDS = ("processed", "delivered", "open", "click", "deferred")


def measure(home: Path, ledger: str | None, messages: int, a_request: int) -> dict[str, Any]:
    """Five events about each of `messages` messages, `a_request` of them at once; all of it once more as copies."""
    settings = settings_in(home, ledger=ledger)
    ids = _sent(settings, messages)
    events = [_event(message_id, kind, number) for number, kind in enumerate(_KINDS) for message_id in ids]
    bodies = [json.dumps(events[at : at + a_request]).encode() for at in range(0, len(events), a_request)]
    timestamp = str(int(settings.now.timestamp()))
    requests = [(body, _headers(timestamp, body)) for body in bodies]
    with _app(home, ledger) as (port, process):
        found = {name: _post(port, process, requests) for name in ("new", "copies")}
    with open_ledger(settings) as opened:
        recorded = sum(len(batch) for batch in opened.changes("message_events", None, ["event_id"]))
        states = opened.counts_by_state()
    assert recorded == len(events), recorded
    assert states == {"delivered": messages}, states
    return {"events": len(events), "a_request": a_request} | found


def _sent(settings: Any, messages: int) -> list[str]:
    with open_ledger(settings) as ledger:
        fill(ledger, settings, messages)
        ids = []
        while claim := ledger.claim(f"lease {len(ids)}", "mailbox", 5_000, timedelta(minutes=1)):
            ledger.settle(claim.lease_id, [Outcome(one.message_id, State.ACCEPTED) for one in claim.messages])
            ids += [one.message_id for one in claim.messages]
    return ids


def _event(message_id: str, kind: str, number: int) -> dict[str, Any]:
    return {
        "email": "somebody@mail.example",
        "timestamp": 1_769_934_000 + number,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": kind,
        "category": ["win_back", "offers"],
        "sg_event_id": f"{message_id}-{kind}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "useragent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
        "ip": "192.0.2.1",
        "url": "https://shop.example/p/secateurs?utm_source=perennial",
        "response": "250 2.0.0 OK 1461095248 m143si2210036ioe.159 - gsmtp",
        "perennial_message": message_id,
    }


def _headers(timestamp: str, body: bytes) -> dict[str, str]:
    signature = base64.b64encode(KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {sendgrid.SIGNATURE: signature, sendgrid.TIMESTAMP: timestamp, "Content-Type": "application/json"}


@contextmanager
def _app(home: Path, ledger: str | None) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    told = {"HOME": home, "NOW": NOW, "WEB_PORT": port, "SENDGRID_WEBHOOK_KEY": base64.b64encode(public).decode()}
    told |= {"LEDGER": ledger} if ledger else {}
    environment = os.environ | {f"PERENNIAL_{name}": str(value) for name, value in told.items()}
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-m", "perennial.web"], env=environment, stdout=quiet, stderr=quiet) as app:
        try:
            _wait_for(port)
            yield port, psutil.Process(app.pid)
        finally:
            app.terminate()


def _wait_for(port: int) -> None:
    for _ in range(600):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise TimeoutError("the web app does not answer")


def _post(port: int, process: psutil.Process, requests: list[tuple[bytes, dict[str, str]]]) -> dict[str, float]:
    """Post all requests over a few connections; seconds, and CPU seconds of the app."""
    waiting = iter(requests)
    lock = threading.Lock()
    statuses: list[int] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            connection.request("POST", "/webhooks/sendgrid", *request)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)

    workers = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    began, before = time.monotonic(), sum(process.cpu_times()[:2])
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds, cpu = time.monotonic() - began, sum(process.cpu_times()[:2]) - before
    assert set(statuses) == {200}, statuses
    return {"seconds": seconds, "cpu_seconds": cpu}
