"""An application over AMQP: it answers what people write, and learns what became of it."""

import datetime
import json
import os
import uuid

import pika

NAME = os.environ.get("NAME", "shop")  # one of a dispatcher's exposed_names

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns when the broker has the message, or raises
channel.basic_qos(prefetch_count=20)
channel.exchange_declare("vumi", "direct", durable=True)
for flow in ("inbound", "outbound", "event"):
    channel.queue_declare(f"{NAME}.{flow}", durable=True)
    channel.queue_bind(f"{NAME}.{flow}", "vumi", f"{NAME}.{flow}")


def reply(message, content):
    """Answer over the way the message came. The same message gets the same reply, by its id."""
    endpoint = message.get("routing_metadata", {}).get("endpoint_name") or "default"
    return {
        "message_type": "user_message",
        "message_version": "20110921",
        "message_id": uuid.uuid5(uuid.NAMESPACE_OID, f"{NAME} {message['message_id']}").hex,
        "timestamp": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "in_reply_to": message["message_id"],
        "to_addr": message["from_addr"],
        "from_addr": message["to_addr"],
        "content": content,
        "session_event": None,
        "group": message.get("group"),
        "provider": message.get("provider"),
        "transport_name": message["transport_name"],
        "transport_type": message["transport_type"],
        "transport_metadata": message.get("transport_metadata", {}),
        "helper_metadata": message.get("helper_metadata", {}),
        "routing_metadata": {"endpoint_name": endpoint},
    }


def on_message(channel, method, _, body):
    message = json.loads(body)
    if message["session_event"] != "close":
        answer = reply(message, f"You wrote: {message['content'] or ''}")
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("vumi", f"{NAME}.outbound", json.dumps(answer).encode(), persistent, mandatory=True)
    channel.basic_ack(method.delivery_tag)  # only now


def on_event(channel, method, _, body):
    event = json.loads(body)
    print(event["event_type"], event["user_message_id"], flush=True)
    channel.basic_ack(method.delivery_tag)


channel.basic_consume(f"{NAME}.inbound", on_message)
channel.basic_consume(f"{NAME}.event", on_event)
channel.start_consuming()
