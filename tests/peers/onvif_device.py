"""A network camera that speaks ONVIF: found by WS-Discovery, asked by SOAP. Its clock is an hour ahead.

Usage: onvif_device.py NAME USERNAME PASSWORD. Prints `ready PORT` once it can be found; runs until it is killed.
Discovery is the package `wsdiscovery`; the answers follow ONVIF Core and Media 1.0, the login WS-UsernameToken 1.0.
"""

import base64
import datetime
import hashlib
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from wsdiscovery import QName, Scope
from wsdiscovery.publishing import ThreadedWSPublishing

NAME, USERNAME, PASSWORD = sys.argv[1:4]
AHEAD = datetime.timedelta(hours=1)
SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-"
SPACES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "w": SECURITY + "secext-1.0.xsd",
    "u": SECURITY + "utility-1.0.xsd",
    "d": "http://www.onvif.org/ver10/device/wsdl",
    "m": "http://www.onvif.org/ver10/media/wsdl",
}
# token, name, encoding, width, height, pictures a second
PROFILES = [
    ("main", "Main stream", "H264", 2560, 1440, 25),
    ("sub", "Sub <stream>", "H264", 704, 576, 12),
    ("tiny", "Thumbnails", "JPEG", 160, 120, 5),
]


def now():
    return datetime.datetime.now(datetime.timezone.utc) + AHEAD


def allowed(envelope):
    token = envelope.find(".//w:UsernameToken", SPACES)
    if token is None or token.findtext("w:Username", namespaces=SPACES) != USERNAME:
        return False
    created = token.findtext("u:Created", namespaces=SPACES)
    nonce = base64.b64decode(token.findtext("w:Nonce", namespaces=SPACES))
    digest = hashlib.sha1(nonce + created.encode() + PASSWORD.encode()).digest()
    age = abs(now() - datetime.datetime.fromisoformat(created.replace("Z", "+00:00")))
    given = base64.b64decode(token.findtext("w:Password", namespaces=SPACES))
    return digest == given and age < datetime.timedelta(minutes=2)


def profile(token, name, encoding, width, height, fps):
    return f"""<m:Profiles token="{token}" fixed="true"><t:Name>{escape(name)}</t:Name>
      <t:VideoSourceConfiguration token="source"><t:Name>source</t:Name></t:VideoSourceConfiguration>
      <t:VideoEncoderConfiguration token="e-{token}"><t:Name>e-{token}</t:Name><t:Encoding>{encoding}</t:Encoding>
      <t:Resolution><t:Width>{width}</t:Width><t:Height>{height}</t:Height></t:Resolution>
      <t:RateControl><t:FrameRateLimit>{fps}</t:FrameRateLimit></t:RateControl>
      </t:VideoEncoderConfiguration></m:Profiles>"""


class Device(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        envelope = ElementTree.fromstring(text)
        question = list(envelope.find("s:Body", SPACES))[0]
        kind = re.sub("{.*}", "", question.tag)
        if kind == "GetSystemDateAndTime":
            time = now()
            return self.answer(200, f"""<d:GetSystemDateAndTimeResponse><d:SystemDateAndTime><t:UTCDateTime>
              <t:Time><t:Hour>{time.hour}</t:Hour><t:Minute>{time.minute}</t:Minute><t:Second>{time.second}</t:Second></t:Time>
              <t:Date><t:Year>{time.year}</t:Year><t:Month>{time.month}</t:Month><t:Day>{time.day}</t:Day></t:Date>
              </t:UTCDateTime></d:SystemDateAndTime></d:GetSystemDateAndTimeResponse>""")
        if not allowed(envelope):
            return self.answer(400, """<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode>
              <s:Value>ter:NotAuthorized</s:Value></s:Subcode></s:Code>
              <s:Reason><s:Text xml:lang="en">Sender not authorized</s:Text></s:Reason></s:Fault>""")
        if kind == "GetCapabilities":
            # As a camera behind a translated address says it: nobody can reach it there.
            return self.answer(200, f"""<d:GetCapabilitiesResponse><d:Capabilities><t:Media>
              <t:XAddr>http://203.0.113.9:{self.server.server_port}/onvif/media</t:XAddr></t:Media></d:Capabilities>
              </d:GetCapabilitiesResponse>""")
        if kind == "GetProfiles" and self.path == "/onvif/media":
            listed = "".join(profile(*one) for one in PROFILES)
            return self.answer(200, f"<m:GetProfilesResponse>{listed}</m:GetProfilesResponse>")
        if kind == "GetStreamUri" and self.path == "/onvif/media":
            token = question.findtext("m:ProfileToken", namespaces=SPACES)
            uri = escape(f"rtsp://{USERNAME}:{PASSWORD}@192.0.2.77:554/{token}?unicast=true&proto=Onvif")
            return self.answer(200, f"""<m:GetStreamUriResponse><m:MediaUri><t:Uri>{uri}</t:Uri></m:MediaUri>
              </m:GetStreamUriResponse>""")
        return self.answer(500, "<s:Fault><s:Reason><s:Text>No such question</s:Text></s:Reason></s:Fault>")

    def answer(self, status, body):
        spaces = " ".join(f'xmlns:{short}="{uri}"' for short, uri in SPACES.items())
        text = f"""<?xml version="1.0" encoding="UTF-8"?>
          <s:Envelope {spaces} xmlns:t="http://www.onvif.org/ver10/schema" xmlns:ter="http://www.onvif.org/ver10/error">
          <s:Body>{body}</s:Body></s:Envelope>""".strip().encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


server = ThreadingHTTPServer(("0.0.0.0", 0), Device)
port = server.server_port
publishing = ThreadedWSPublishing()
publishing.start()
video = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter")
scopes = [Scope(f"onvif://www.onvif.org/name/{NAME}"), Scope("onvif://www.onvif.org/hardware/Model%207")]
publishing.publishService(types=[video], scopes=scopes, xAddrs=[f"http://127.0.0.1:{port}/onvif/device_service"])
print(f"ready {port}", flush=True)
server.serve_forever()
