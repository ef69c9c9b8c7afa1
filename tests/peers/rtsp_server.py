"""An RTSP camera: moving colour bars over gst-rtsp-server.

Prints `ready URL` once it listens, then what its clients do, one word a line: `play`, `teardown`, `gone`.
SIGUSR1 makes the stream fall silent while the connection stays up; SIGUSR2 lets it go on.
Runs on the system's Python, which has the bindings of GStreamer.
"""

import argparse
import signal

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} ! rtph264pay config-interval=1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} ! rtph265pay config-interval=1",
    "mjpeg": "jpegenc ! rtpjpegpay",
}


def say(*words):
    print(*words, flush=True)


def secured(server, factory, args):
    """Asks clients for a name and a password, in the way that `--auth` says."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if args.auth == "basic":
        basic = GstRtspServer.RTSPAuth.make_basic(args.user, args.password)
        auth.add_basic(basic, token)
    elif args.auth == "digest":
        # GST_RTSP_AUTH_DIGEST, of an enumeration that lives in another library.
        auth.set_supported_methods(2)
        auth.add_digest(args.user, args.password, token)
    else:
        auth.set_default_token(token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)
    if args.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(args.certificate))
    server.set_auth(auth)


def watch(server, gates, caps):
    """Tells what clients do, and keeps the valves of their streams."""

    def connected(_, client):
        client.connect("play-request", lambda *_: say("play"))
        client.connect("teardown-request", lambda *_: say("teardown"))
        client.connect("closed", lambda *_: say("gone"))

    def configured(_, media):
        gates.append(media.get_element().get_by_name("gate"))

    def silence(probability):
        for gate in gates:
            gate.set_property("drop-probability", probability)
        return True

    server.connect("client-connected", connected)
    caps.connect("media-configure", configured)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, silence, 1.0)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR2, silence, 0.0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--auth", choices=["none", "basic", "digest"], default="none")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--port", default="0")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--certificate", help="PEM file with certificate and key; the server then speaks RTSPS")
    args = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = GstRtspServer.RTSPMediaFactory()
    width, height = args.size.split("x")
    payload = 26 if args.codec == "mjpeg" else 96
    factory.set_launch(
        f"( videotestsrc is-live=true pattern=smpte horizontal-speed=5 ! video/x-raw,format=I420,width={width},height={height},"
        f"framerate={args.fps}/1 ! identity name=gate ! {ENCODERS[args.codec].format(fps=args.fps)} name=pay0 "
        f"pt={payload} )"
    )
    factory.set_shared(True)
    if args.auth != "none" or args.certificate:
        secured(server, factory, args)
    watch(server, [], factory)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    scheme = "rtsps" if args.certificate else "rtsp"
    say("ready", f"{scheme}://127.0.0.1:{server.get_bound_port()}/live")
    GLib.MainLoop().run()


main()
