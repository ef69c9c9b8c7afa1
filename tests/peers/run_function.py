"""Hands the messages of a queue to the sample Function, as Azure's host would: decoded, and deleted when the function
returns. Usage: run_function.py FUNCTION_APP.py QUEUE; prints how many there were."""

import base64
import importlib.util
import os
import sys

import azure.functions
from azure.storage.queue import QueueClient


class Message(azure.functions.QueueMessage):
    def __init__(self, message):
        super().__init__(id=message.id, body=base64.b64decode(message.content))


def main():
    spec = importlib.util.spec_from_file_location("function_app", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (function,) = module.app.get_functions()
    assert function.get_trigger().get_dict_repr()["type"] == "queueTrigger"
    client = QueueClient.from_connection_string(os.environ["NODE_STORAGE"], sys.argv[2])
    count = 0
    for message in client.receive_messages():
        function.get_user_function()(Message(message))
        client.delete_message(message)
        count += 1
    print(count)


main()
