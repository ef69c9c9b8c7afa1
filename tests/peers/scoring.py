"""Asks a scoring endpoint with NVIDIA's Triton client, and checks its description and answers with OpenAPI's validators.

Prints what was seen in a picture, by each way of asking, as JSON.
"""

import json
import sys
import urllib.error
import urllib.request

import cv2
import jsonschema
import numpy
import tritonclient.http as triton
from openapi_spec_validator import validate

address, path = sys.argv[1:]
encoded = open(path, "rb").read()
pixels = cv2.imread(path)[:, :, ::-1].copy()
client = triton.InferenceServerClient(address)


def objects(result, picture=0):
    count = result.as_numpy("count")[picture]
    rows = range(int(count))
    boxes, scores, labels = (result.as_numpy(name)[picture] for name in ("boxes", "scores", "labels"))
    text = [label.decode() if isinstance(label, bytes) else label for label in labels]
    return [{"label": text[i], "score": float(scores[i]), "box": [float(v) for v in boxes[i]]} for i in rows]


def infer(values, datatype, binary, **more):
    tensor = triton.InferInput("image", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("count", "boxes", "scores", "labels")]
    return client.infer("parts", [tensor], outputs=wanted, request_id="seven", **more)


assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("parts")
server = client.get_server_metadata()
assert server["name"] == "ocellus" and "binary_tensor_data" in server["extensions"], server
metadata = client.get_model_metadata("parts")
assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}], metadata
version, digest = metadata["versions"]
assert client.is_model_ready("parts", digest) and not client.is_model_ready("parts", "0")

both = numpy.stack([numpy.zeros_like(pixels), pixels])
seen = {"json": objects(infer(pixels[None], "UINT8", False))}
binary = infer(both, "UINT8", True)
response = binary.get_response()
assert response["id"] == "seven" and response["parameters"]["digest"] == digest, response
assert binary.as_numpy("count")[0] == 0 and not any(binary.as_numpy("labels")[0]), "nothing is seen in the dark"
seen["binary"] = objects(binary, 1)
seen["version"] = objects(infer(both[1:], "UINT8", True, model_version=digest))
files = numpy.array([encoded], dtype=numpy.object_)
seen["files"] = objects(infer(files, "BYTES", True))
try:
    infer(both, "UINT8", True, model_version="0")
    raise SystemExit("another version answered")
except triton.InferenceServerException as error:
    assert "has no version" in error.message(), error

described = json.load(urllib.request.urlopen(f"http://{address}/openapi.json"))
validate(described)


def checked(schema, document):
    """What is checked against a schema of the description."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": described["components"]}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(whole, format_checker=checker).validate(document)
    return document


def ask(where, body=None, kind="application/json"):
    request = urllib.request.Request(f"http://{address}{where}", body, {"Content-Type": kind})
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return json.load(error)


boundary = b"--fence\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n"
form = boundary + encoded + b"\r\n--fence--\r\n"
detected = checked("Detections", ask("/v1/detect?camera=line3", form, "multipart/form-data; boundary=fence"))
assert detected["camera"] == "line3" and detected["model"]["digest"] == digest, detected
seen["detect"] = detected["objects"]
checked("Inferences", ask("/score", encoded, "image/jpeg"))
checked("Server", ask("/v2"))
checked("Model", ask("/v2/models/parts"))
checked("ModelReady", ask("/v2/models/parts/ready"))
request = {"inputs": [{"name": "image", "shape": [1, 1, 3], "datatype": "UINT8", "data": [1, 2, 3]}]}
checked("InferResponse", ask("/v2/models/parts/infer", json.dumps(checked("InferRequest", request)).encode()))
for where, body in [("/v2/models/other", None), ("/v1/detect", b"no picture"), ("/v2/models/parts/infer", b"{}")]:
    checked("Error", ask(where, body))
# The validators do find what is wrong.
try:
    checked("Error", {"eror": 1})
    raise SystemExit("the validator found nothing")
except jsonschema.ValidationError:
    pass
print(json.dumps(seen))
