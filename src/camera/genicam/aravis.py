"""A machine-vision camera through Aravis, as a child process of Ocellus.

`list` prints the cameras that answer, as JSON. `stream SETTINGS` opens one and writes its pictures to stdout, each behind
a HEADER; a picture that came damaged has no bytes. Why it ends stands in the last line on stderr.
"""

import json
import signal
import struct
import sys
import time

try:
    import gi

    gi.require_version("Aravis", "0.8")
    from gi.repository import Aravis, GLib
except (ImportError, ValueError):
    sys.exit("Aravis is not installed")

# Magic, pixel format (PFNC), width, height, bytes that follow, capture in nanoseconds since 1970.
HEADER = struct.Struct("<4sIIIIq")
MAGIC = b"OCEL"
# Pictures that may wait for a reader that is slow.
BUFFERS = 8
# How long a picture is waited for before anything else is looked at, in microseconds.
GLANCE = 100_000
# Room for packets in the socket, bytes; the system may grant less.
ROOM = 8 * 1024 * 1024


def listed():
    Aravis.update_device_list()
    for n in range(Aravis.get_n_devices()):
        yield {
            "id": Aravis.get_device_id(n),
            "vendor": Aravis.get_device_vendor(n),
            "model": Aravis.get_device_model(n),
            "serial": Aravis.get_device_serial_nbr(n),
            "address": Aravis.get_device_address(n),
            "protocol": Aravis.get_device_protocol(n),
        }


def choose_format(camera, wanted):
    """The camera's own format where it is one of those that are wanted, else the first one that it has."""
    has = camera.dup_available_pixel_formats_as_strings()
    if camera.get_pixel_format_as_string() in wanted:
        return
    for name in wanted:
        if name in has:
            camera.set_pixel_format_from_string(name)
            return
    sys.exit(f"it gives none of the formats {', '.join(wanted)} (it has {', '.join(has)})")


def choose_size(camera, size):
    width, height = size
    for side, bounds, name in [
        (width, camera.get_width_bounds(), "across"),
        (height, camera.get_height_bounds(), "down"),
    ]:
        if not bounds[0] <= side <= bounds[1]:
            sys.exit(f"its pictures have {bounds[0]} to {bounds[1]} pixels {name}, not {side}")
    camera.set_region(0, 0, width, height)
    _, _, got_width, got_height = camera.get_region()
    if (got_width, got_height) != (width, height):
        sys.exit(f"it took {got_width}x{got_height} pixels instead of the `size` that was asked for")


def set_common(value, automatic, bounds, put, name, unit):
    """Exposure and gain, which every camera has, whatever it calls them."""
    try:
        automatic(Aravis.Auto.CONTINUOUS if value == "auto" else Aravis.Auto.OFF)
    except GLib.Error:
        if value == "auto":
            sys.exit(f"it has no automatic {name}")
    if value == "auto":
        return
    least, most = bounds()
    if isinstance(value, (str, bool)) or not least <= value <= most:
        sys.exit(f"its {name} is from {least:.10g} to {most:.10g} {unit}, or \"auto\", not {value}")
    put(value)


def set_control(camera, name, value):
    if name == "exposure":
        set_common(value, camera.set_exposure_time_auto, camera.get_exposure_time_bounds, camera.set_exposure_time, name, "µs")
    elif name == "gain":
        set_common(value, camera.set_gain_auto, camera.get_gain_bounds, camera.set_gain, name, "in the camera's unit")
    elif not camera.is_feature_available(name):
        sys.exit(f"it has no setting `{name}` (`arv-tool-0.8 features` lists what it has)")
    else:
        text = str(value).lower() if isinstance(value, bool) else f"{value:.10g}" if isinstance(value, float) else value
        camera.get_device().set_features_from_string(f"{name}={text}")


def configure(camera, settings):
    choose_format(camera, settings["formats"])
    if settings["size"]:
        choose_size(camera, settings["size"])
    camera.set_acquisition_mode(Aravis.AcquisitionMode.CONTINUOUS)
    trigger = settings["trigger"]
    if trigger == "off":
        camera.clear_triggers()
        if settings["fps"] and camera.is_frame_rate_available():
            least, most = camera.get_frame_rate_bounds()
            camera.set_frame_rate(min(max(settings["fps"], least), most))
    else:
        source = "Software" if trigger == "software" else trigger
        sources = camera.dup_available_trigger_sources()
        if source not in sources:
            sys.exit(f"it has no trigger `{trigger}` (it has {', '.join(sources)})")
        camera.set_trigger(source)
    for name, value in settings["controls"].items():
        set_control(camera, name, value)


def pictures(camera, stream, every, lost):
    """What the camera gives; `every` so many seconds it is told to take one, where that is our business."""
    due = time.monotonic()
    while not lost:
        now = time.monotonic()
        if every and now >= due:
            camera.software_trigger()
            # A camera that is slower than it is told to be is not told all the more afterwards.
            due = max(due + every, now)
        wait = min(GLANCE, (due - now) * 1e6) if every else GLANCE
        buffer = stream.timeout_pop_buffer(int(max(wait, 1000)))
        if buffer:
            yield buffer
            stream.push_buffer(buffer)
    sys.exit("the connection to it was lost")


def write(buffer):
    captured = buffer.get_system_timestamp()
    if buffer.get_status() != Aravis.BufferStatus.SUCCESS:
        sys.stdout.buffer.write(HEADER.pack(MAGIC, 0, 0, 0, 0, captured))
    else:
        shape = (buffer.get_image_pixel_format(), buffer.get_image_width(), buffer.get_image_height())
        pixels = buffer.get_data()
        sys.stdout.buffer.write(HEADER.pack(MAGIC, *shape, len(pixels), captured))
        sys.stdout.buffer.write(pixels)
    sys.stdout.buffer.flush()


def run(settings):
    try:
        camera = Aravis.Camera.new(settings["camera"])
    except GLib.Error as error:
        sys.exit(f"no camera answers to this name ({error.message}): `ocellus cameras` lists those that do")
    lost = []
    camera.get_device().connect("control-lost", lambda _: lost.append(True))
    if camera.is_gv_device():
        # They need a privilege that a daemon should not have.
        camera.gv_set_stream_options(Aravis.GvStreamOption.PACKET_SOCKET_DISABLED)
    configure(camera, settings)
    stream = camera.create_stream(None, None)
    if isinstance(stream, Aravis.GvStream):
        stream.set_property("socket-buffer", Aravis.GvStreamSocketBuffer.FIXED)
        stream.set_property("socket-buffer-size", ROOM)
    payload = camera.get_payload()
    for _ in range(BUFFERS):
        stream.push_buffer(Aravis.Buffer.new_allocate(payload))
    camera.start_acquisition()
    try:
        every = 1 / (settings["fps"] or 1) if settings["trigger"] == "software" else None
        for buffer in pictures(camera, stream, every, lost):
            write(buffer)
    finally:
        if not lost:
            camera.stop_acquisition()
            if camera.is_gv_device():
                # Else it takes no other for some seconds.
                camera.get_device().leave_control()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if sys.argv[1] == "list":
            print(json.dumps(list(listed())))
        else:
            run(json.loads(sys.argv[2]))
    except GLib.Error as error:
        sys.exit(error.message)
    except BrokenPipeError:
        # Nobody reads any more.
        sys.exit(1)


main()
