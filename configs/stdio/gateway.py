"""A network with one person, who says hello once. Each line in is a message to somebody:
its answer says that it was sent."""

import json
import sys

print(json.dumps({"from_addr": "anna", "to_addr": "switchboard", "content": "hello"}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message.get("message_type", "user_message") != "user_message":
        continue
    print("sent:", message["content"], file=sys.stderr, flush=True)
    ack = {"event_type": "ack", "user_message_id": message["message_id"], "sent_message_id": "n1"}
    print(json.dumps(ack), flush=True)
