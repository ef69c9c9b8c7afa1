"""A way to an Azure store as bad as they come. It refuses API versions newer than Azure Stack Hub knows, and with a seed it
cuts connections half-way, answers for the store that it is busy, and delays.

Usage: storage_proxy.py HOST:PORT [--seed N] [--tls CERTIFICATE KEY]. Says "listening on PORT", then a line a request: method, path, version, and what
was done with it. The same seed gives the same faults in the same order."""

import argparse
import random
import re
import socket
import ssl
import threading
import time

NEWEST = "2019-07-07"
FAULTS = ["none"] * 5 + ["busy", "throttled", "cut-request", "cut-answer", "no-answer", "slow"]
BUSY = {"busy": (503, "Service Unavailable", "ServerBusy"), "throttled": (429, "Too Many Requests", "ServerBusy")}

lock = threading.Lock()


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
    connection.sendall(f"{head}{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


def forward(upstream, head, body):
    head = re.sub(rb"(?im)^connection:.*\r\n", b"", head + b"\r\n")
    with socket.create_connection(upstream) as store:
        store.sendall(head + b"Connection: close\r\n\r\n" + body)
        parts = []
        while part := store.recv(65536):
            parts.append(part)
    return b"".join(parts)


def serve(connection, upstream, choices, tls):
    try:
        with tls.wrap_socket(connection, server_side=True) if tls else connection as way:
            handle(way, upstream, choices)
    except OSError:
        pass  # The client has gone, or does not trust us.


def handle(connection, upstream, choices):
    request = read_request(connection)
    if request is None:
        return
    head, body, length = request
    line = head.split(b"\r\n", 1)[0].decode()
    method, path = line.split(" ")[:2]
    version = re.search(rb"(?im)^x-ms-version: *(\S+)", head)
    version = version.group(1).decode() if version else "none"
    signed = re.search(r"[?&]sv=([0-9-]+)", path)
    with lock:
        fault = choices.choice(FAULTS) if choices else "none"
    if version == "none" or version > NEWEST or (signed and signed.group(1) > NEWEST):
        fault = "refused"
    with lock:
        print(method, path.split("?")[0], version, fault, flush=True)
    if fault == "cut-request":
        read_body(connection, body, length // 2)
        return
    body = read_body(connection, body, length)
    if len(body) < length:
        return
    if fault == "refused":
        answer(connection, 400, "Bad Request", "InvalidHeaderValue")
    elif fault in BUSY:
        answer(connection, *BUSY[fault], "Retry-After: 1\r\n")
    else:
        if fault == "slow":
            time.sleep(0.3)
        said = forward(upstream, head, body)
        if fault == "no-answer":
            return
        connection.sendall(said[: len(said) // 2] if fault == "cut-answer" else said)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--tls", nargs=2)
    options = parser.parse_args()
    host, port = options.store.rsplit(":", 1)
    choices = None if options.seed is None else random.Random(options.seed)
    tls = None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*options.tls)
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening on", listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, (host, int(port)), choices, tls), daemon=True).start()


main()
