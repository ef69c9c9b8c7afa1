"""A way to a store as bad as they come. It refuses API versions newer than Azure Stack Hub knows, unless any will do, and
with a seed it cuts connections half-way, answers for the store that it is busy, and delays. With --cut it cuts off uploads
half-way: COUNT of them, from the one on with which BYTES are reached. With --say it answers nothing else.

Usage: storage_proxy.py HOST:PORT [--any] [--seed N] [--cut BYTES COUNT] [--say STATUS CODE] [--tls CERTIFICATE KEY]. Says "listening on PORT",
then a line a request: method, path, version, and what was done with it; and a line "BYTES came" of its body. The same seed
gives the same faults in the same order."""

import argparse
import random
import re
import socket
import ssl
import threading
import time
from email.utils import formatdate

NEWEST = "2019-07-07"
FAULTS = ["none"] * 5 + ["busy", "throttled", "cut-request", "cut-answer", "no-answer", "slow"]
BUSY = {"busy": (503, "Service Unavailable", "ServerBusy"), "throttled": (429, "Too Many Requests", "ServerBusy")}

lock = threading.Lock()


class Way:
    """What is done to requests, and what came so far."""

    def __init__(self, options):
        host, port = options.store.rsplit(":", 1)
        self.upstream = (host, int(port))
        self.any = options.any
        self.choices = None if options.seed is None else random.Random(options.seed)
        self.cut_at, self.cuts = options.cut or (0, 0)
        self.came = 0
        self.say = options.say

    def fault(self, method, length, version, signed):
        with lock:
            fault = self.choices.choice(FAULTS) if self.choices else "none"
            if not self.any and (version == "none" or version > NEWEST or (signed and signed.group(1) > NEWEST)):
                return "refused"
            if method == "PUT" and self.cuts and self.came + length > self.cut_at:
                self.cuts -= 1
                return "cut-request"
            return fault

    def take(self, body):
        with lock:
            self.came += len(body)
            print(len(body), "came", flush=True)


def read_request(connection):
    """The head and the body, or nothing where the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    return head, body, int(length.group(1)) if length else 0


def read_body(connection, body, length):
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return body
        body += more
    return body


def answer(connection, status, reason, code, more=""):
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>No.</Message></Error>'
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nx-ms-error-code: {code}\r\n"
    head += f"Date: {formatdate(usegmt=True)}\r\n"
    connection.sendall(f"{head}{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


def forward(upstream, head, body):
    head = re.sub(rb"(?im)^connection:.*\r\n", b"", head + b"\r\n")
    with socket.create_connection(upstream) as store:
        store.sendall(head + b"Connection: close\r\n\r\n" + body)
        parts = []
        while part := store.recv(65536):
            parts.append(part)
    return b"".join(parts)


def serve(connection, way, tls):
    try:
        with tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
            handle(stream, way)
    except OSError:
        pass  # The client has gone, or does not trust us.


def handle(connection, way):
    request = read_request(connection)
    if request is None:
        return
    head, body, length = request
    line = head.split(b"\r\n", 1)[0].decode()
    method, path = line.split(" ")[:2]
    version = re.search(rb"(?im)^x-ms-version: *(\S+)", head)
    version = version.group(1).decode() if version else "none"
    signed = re.search(r"[?&]sv=([0-9-]+)", path)
    fault = way.fault(method, length, version, signed)
    with lock:
        print(method, path.split("?")[0], version, fault, flush=True)
    if fault == "cut-request":
        way.take(read_body(connection, body, length // 2))
        return
    body = read_body(connection, body, length)
    way.take(body)
    if len(body) < length:
        return
    if fault == "refused":
        answer(connection, 400, "Bad Request", "InvalidHeaderValue")
    elif way.say:
        answer(connection, way.say[0], "No", way.say[1])
    elif fault in BUSY:
        answer(connection, *BUSY[fault], "Retry-After: 1\r\n")
    else:
        if fault == "slow":
            time.sleep(0.3)
        said = forward(way.upstream, head, body)
        if fault == "no-answer":
            return
        connection.sendall(said[: len(said) // 2] if fault == "cut-answer" else said)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--any", action="store_true")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--cut", nargs=2, type=int)
    parser.add_argument("--say", nargs=2)
    parser.add_argument("--tls", nargs=2)
    options = parser.parse_args()
    way = Way(options)
    tls = None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*options.tls)
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening on", listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, way, tls), daemon=True).start()


main()
