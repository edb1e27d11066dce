"""Submits a job to Fleetline over AMQP and waits for the answer.

    pip install pika
    python submit.py amqp://guest:guest@localhost/%2f "Connection refused by db-1"
"""

import json
import sys
import time
import uuid

import pika

# Seconds to wait for the answer: while Fleetline is away the message waits for it.
PATIENCE = 60


def submit(url: str, message: str) -> dict:
    """One log event as a job of kind log.analyze; returns Fleetline's answer."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    # An Ack means that the broker has the message on disk; `mandatory` that a queue took it.
    channel.confirm_delivery()

    answers = []
    channel.basic_consume(
        "amq.rabbitmq.reply-to",
        lambda _channel, _method, _properties, body: answers.append(json.loads(body)),
        auto_ack=True,
    )
    message_id = str(uuid.uuid4())
    job = {
        "kind": "log.analyze",
        "args": {
            "analyser": {"name": "builtin", "version": "log-rules-1"},
            "logger": "example",
            "level": "ERROR",
            "message": message,
            "fingerprint": str(uuid.uuid5(uuid.NAMESPACE_OID, message)),
            "template": message,
        },
    }
    channel.basic_publish(
        exchange="",
        routing_key="fleetline.submit",
        body=json.dumps(job),
        mandatory=True,
        properties=pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,
            # The idempotency key: sent again with the same id, it is the same run.
            message_id=message_id,
            reply_to="amq.rabbitmq.reply-to",
        ),
    )
    until = time.monotonic() + PATIENCE
    while not answers and time.monotonic() < until:
        connection.process_data_events(time_limit=1)
    connection.close()
    if not answers:
        sys.exit(
            f"no answer within {PATIENCE} s: is `fleetline serve` running? The answer may also be lost:"
            f" send the same message again with the same message_id, {message_id}"
        )
    return answers[0]


if __name__ == "__main__":
    print(json.dumps(submit(sys.argv[1], sys.argv[2])))
