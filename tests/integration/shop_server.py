"""A WooCommerce shop's REST API over real HTTP: it filters, sorts, pages and fails as WooCommerce and its hosts do."""

import base64
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY, SECRET = "ck_0123456789abcdef", "cs_fedcba9876543210"
_AUTHORIZATION = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
_DATES = {"modified": "date_modified_gmt", "date": "date_created_gmt"}


class ShopServer:
    """
    `rows` by collection. `faults` are used up, one a request: a status, `(status, headers, body)`, "break", "cut" or
    "hang"; None is an answer. `before` is called with the number of a request, from 1, before it is answered.
    """

    def __init__(self, port):
        self.port = port
        self.rows = {}
        self.faults = []
        self.asked = []
        self.before = lambda _: None
        self.knows_modified_after = True
        self.tells_total = True
        self.sorts_locally = False  # as where orders are posts

    def url(self, key=KEY, secret=SECRET, path="/"):
        return f"http://{key}:{secret}@127.0.0.1:{self.port}{path}"

    def found(self, collection, asked):
        rows = list(self.rows[collection])
        if collection == "orders":
            statuses = asked.get("status", "any").split(",")
            rows = [
                row for row in rows if row["status"] in statuses or ("any" in statuses and row["status"] != "trash")
            ]
        field = _DATES.get(asked["orderby"], "id")
        for parameter, of in (("modified_after", "date_modified_gmt"), ("after", "date_created_gmt")):
            if parameter in asked and self.knows_modified_after:
                assert asked["dates_are_gmt"] == "true"
                rows = [row for row in rows if row[of] > asked[parameter]]
        if self.sorts_locally:
            field = field.removesuffix("_gmt")
        rows.sort(key=lambda row: (row[field], row["id"]))
        assert asked["order"] == "asc"
        return rows


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        shop = self.server.shop
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        shop.asked.append(asked)
        shop.before(len(shop.asked))
        fault = shop.faults.pop(0) if shop.faults else None
        if fault in ("break", "hang"):
            time.sleep(0.4 if fault == "hang" else 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif isinstance(fault, int):
            self.answer(fault, {}, b'{"code": "woocommerce_rest_error", "message": "Sorry."}')
        elif isinstance(fault, tuple):
            self.answer(*fault)
        elif self.headers["Authorization"] != _AUTHORIZATION:
            self.answer(401, {}, b'{"code": "woocommerce_rest_cannot_view", "data": {"status": 401}}')
        else:
            rows = shop.found(parts.path.removeprefix("/wp-json/wc/v3/"), asked)
            offset, size = int(asked["offset"]), int(asked["per_page"])
            body = json.dumps(rows[offset : offset + size]).encode()
            self.answer(200, {"X-WP-Total": len(rows)} if shop.tells_total else {}, body, cut=fault == "cut")

    def answer(self, status, headers, body, cut=False):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=UTF-8", **headers}.items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_):
        pass


@contextmanager
def running_shop():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.shop = ShopServer(server.server_address[1])
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.shop
        server.shutdown()
