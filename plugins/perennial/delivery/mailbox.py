"""
The local mailbox: a real SMTP server on loopback that writes .eml files. Nothing leaves the machine.

The server lives in the delivering process, and a file is on disk before the server answers 250. So when the process
is dead, the folder tells for certain which messages were taken. A gateway of your own may send them on from there.
"""

import asyncio
import logging
import os
import re
import socket
from collections.abc import Awaitable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Self
from uuid import uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from perennial.delivery.mime import MESSAGE_HEADER
from perennial.delivery.provider import HandOff, Mail, Result, Verdict
from perennial.delivery.smtp import SmtpLetter, SmtpProvider, SmtpServer, prepare
from perennial.foundation.days import current_time
from perennial.foundation.settings import Settings

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd logs every address and every line of a mail

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = re.compile(rf"^\d{{8}}T\d{{6}}\.\d{{6}}Z_({_ID})(?:_\d+)?\.eml$")


class MailboxProvider:
    """Sends by SMTP to a mailbox server that it starts on first use and stops at the end."""

    name = "mailbox"
    at_once = SmtpProvider.at_once

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.mailbox_dir
        self._server: MailboxServer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def prepare(self, mail: Mail) -> SmtpLetter:
        """As for any SMTP server."""
        return prepare(mail)

    def send(self, letters: Iterable[SmtpLetter], hand_off: HandOff) -> Iterator[Result]:
        """Send to the folder, through a real SMTP conversation; see `Provider.send`. Nothing stays unknown here."""
        remaining = iter(letters)
        is_finished = False
        while not is_finished:
            is_finished = True
            with SmtpProvider(self._start()) as client:
                for result in client.send(remaining, hand_off):
                    if result.verdict is Verdict.UNKNOWN:
                        yield self._looked_up(result)
                        is_finished = False  # the rest goes to a new server
                        break
                    yield result

    def _looked_up(self, result: Result) -> Result:
        self._stop()  # waits for the mail it is writing: after that the folder tells for certain
        is_held = bool(self.lookup([result.message_id]))
        return replace(result, verdict=Verdict.ACCEPTED if is_held else Verdict.RETRY)

    def _start(self) -> SmtpServer:
        if self._server is None:
            self._server = MailboxServer(self._folder, self._settings)
            self._server.start()
        # The server may be given up after any letter: none may be announced ahead.
        return SmtpServer("127.0.0.1", self._server.port, timeout=self._settings.smtp_timeout, pipelining=False)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def lookup(self, message_ids: Collection[str]) -> set[str] | None:
        """Which of these messages lie in the folder."""
        return held_messages(self._folder).intersection(message_ids)


class MailboxServer(Controller):
    """The SMTP server: an ephemeral port on loopback, one .eml file per mail received."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        super().__init__(_Handler(folder, settings), "127.0.0.1", self._listening.getsockname()[1])

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listening)


class _Handler:
    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its API
        try:
            name = write_mail(self._folder, envelope.original_content or b"", current_time(self._settings))
        except OSError as error:
            return f"452 The mailbox cannot be written: {error.strerror}"
        return f"250 Written as {name}"


def write_mail(folder: Path, content: bytes, now: datetime) -> str:
    """Write one received mail durably as a file of its own, never over another; returns the file's name."""
    named = str(BytesHeaderParser().parsebytes(content)[MESSAGE_HEADER] or "").strip()
    message_id = named if re.fullmatch(_ID, named) else str(uuid4())
    stem = f"{now:%Y%m%dT%H%M%S.%fZ}_{message_id}"
    temporary = folder / f".{uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        copies = 1
        while True:
            name = f"{stem}.eml" if copies == 1 else f"{stem}_{copies}.eml"
            try:
                (folder / name).hardlink_to(temporary)  # unlike a rename, refuses to replace
                break
            except FileExistsError:
                copies += 1
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return name


def held_messages(folder: Path) -> set[str]:
    """The ids of all messages in a mailbox folder and those below it, where a gateway may put what it has sent."""
    names = (name for _, _, names in os.walk(folder) for name in names)
    return {match.group(1) for name in names if (match := _NAME.match(name))}
