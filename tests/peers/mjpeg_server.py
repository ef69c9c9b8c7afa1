"""An HTTP camera: `/video` is a row of JPEGs (multipart/x-mixed-replace), `/still` one JPEG a request.

Serves the JPEGs of a folder in the order of their names, over and over. Prints `ready URL`, then `play` and `gone` for
each viewer and `still N` for each still. SIGUSR1 makes streams fall silent while their connections stay up; SIGUSR2
lets them go on.
"""

import argparse
import base64
import hashlib
import http.server
import itertools
import pathlib
import re
import signal
import ssl
import threading
import time

REALM, NONCE = "camera", "4f6c"
flowing = threading.Event()


def say(*words):
    print(*words, flush=True)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def known(args, method, header):
    """Whether a request's Authorization is that of our only user (RFC 7617, RFC 2617)."""
    if args.auth == "none":
        return True
    if args.auth == "basic":
        wanted = base64.b64encode(f"{args.user}:{args.password}".encode()).decode()
        return header == f"Basic {wanted}"
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', header.removeprefix("Digest ")))
    secret, request = md5(f"{args.user}:{REALM}:{args.password}"), md5(f"{method}:{fields.get('uri')}")
    parts = [secret, NONCE, fields.get("nc"), fields.get("cnonce"), fields.get("qop"), request]
    return fields.get("response") == md5(":".join(str(part) for part in parts))


def handler(args, pictures):
    class Handler(http.server.BaseHTTPRequestHandler):
        stills = itertools.count()

        def log_message(self, *_):
            pass

        def do_GET(self):
            if not known(args, "GET", self.headers.get("Authorization", "")):
                challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm=MD5'
                self.send_response(401)
                self.send_header("WWW-Authenticate", challenge if args.auth == "digest" else f'Basic realm="{REALM}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path.startswith("/still"):
                self.still()
            elif self.path.startswith("/video"):
                self.video()
            else:
                self.send_error(404)

        def still(self):
            n = next(self.stills)
            say("still", n)
            picture = pictures[n % len(pictures)]
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def video(self):
            say("play")
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            due = time.monotonic()
            try:
                for picture in itertools.cycle(pictures):
                    flowing.wait()
                    length = f"Content-Length: {len(picture)}\r\n" if not args.no_length else ""
                    self.wfile.write(f"--next\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode())
                    self.wfile.write(picture + b"\r\n")
                    due += 1 / args.fps
                    time.sleep(max(0.0, due - time.monotonic()))
            except OSError:
                say("gone")

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--auth", choices=["none", "basic", "digest"], default="none")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fps", type=float, default=15)
    parser.add_argument("--no-length", action="store_true", help="leave the parts' lengths out, as some cameras do")
    parser.add_argument("--certificate", help="PEM file with certificate and key; the server then speaks HTTPS")
    args = parser.parse_args()

    flowing.set()
    signal.signal(signal.SIGUSR1, lambda *_: flowing.clear())
    signal.signal(signal.SIGUSR2, lambda *_: flowing.set())
    pictures = [path.read_bytes() for path in sorted(args.folder.glob("*.jpg"))]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), handler(args, pictures))
    server.daemon_threads = True
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.certificate)
        # Who shakes hands badly must not keep others from being accepted.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "https" if args.certificate else "http"
    say("ready", f"{scheme}://127.0.0.1:{server.server_port}/video")
    server.serve_forever()


main()
