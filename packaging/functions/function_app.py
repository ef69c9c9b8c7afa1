"""Moves frames that comply, and what people say of them, from a node's storage (Azure Stack Hub, Edge, or a nearby account)
to central storage.

Ocellus puts a CloudEvent on a queue when a frame or a verdict on one is stored. This function copies a frame's picture and
then its record, or the verdict, under the same names, and writes nothing that is there already: a message that comes twice, or a run that failed half-way, leaves one
copy. Frames that no policy has handled, or that it handled otherwise than ALLOWED says, stay where they are."""

import json
import logging
import os

import azure.functions as func
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient, ContentSettings

app = func.FunctionApp()

# What a policy must have let go of a frame, so that it may be moved on.
ALLOWED = {"frame", "crop", "metadata"}


@app.queue_trigger(arg_name="message", queue_name="%FRAMES_QUEUE%", connection="NODE_STORAGE")
def frame_stored(message: func.QueueMessage) -> None:
    """Acts on one message. An exception puts it back on the queue, and after five it is put aside as poison."""
    event = json.loads(message.get_body())
    if event.get("type") not in ("ocellus.evidence.stored", "ocellus.verdict.stored"):
        raise ValueError(f"message {message.id} is no event of Ocellus: {event.get('type')}")
    moved = move(event, container("NODE"), container("CENTRAL"))
    logging.info("%s %s", event["id"], "was moved" if moved else "stays: its policy does not let it go")


def container(which: str) -> ContainerClient:
    """The container that the settings NODE_… and CENTRAL_… name."""
    # The newest version that Azure Stack Hub knows.
    version = os.environ.get(f"{which}_API_VERSION")
    more = {"api_version": version} if version else {}
    return ContainerClient.from_connection_string(
        os.environ[f"{which}_STORAGE"], os.environ[f"{which}_CONTAINER"], **more
    )


def move(event: dict, node: ContainerClient, central: ContainerClient) -> bool:
    """Copies what an event speaks of. False where it may not leave."""
    data = event["data"]
    # The record says what was done, not the message: whoever can write to the queue could say anything. A verdict may come
    # before it; then this fails, and the message comes again.
    record = node.download_blob(data["record"]).readall()
    handled = json.loads(record).get("privacy") or {}
    if handled.get("allow") not in ALLOWED:
        return False
    if verdict := data.get("verdict"):
        create(central, verdict, node.download_blob(verdict).readall(), "application/json")
        return True
    if picture := data.get("picture"):
        create(central, picture, node.download_blob(picture).readall(), "image/jpeg")
    create(central, data["record"], record, "application/json")
    return True


def create(target: ContainerClient, name: str, content: bytes, content_type: str) -> None:
    """Writes a blob unless it is there."""
    try:
        settings = ContentSettings(content_type=content_type)
        target.upload_blob(name, content, overwrite=False, content_settings=settings)
    except ResourceExistsError:
        pass
