"""What RapidSMS is to Vumi's relay: it takes messages by HTTP, and posts its answers to RELAY."""

import base64
import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELAY = os.environ["RELAY"]
LOGIN = base64.b64encode(f"rapidsms:{os.environ.get('RELAY_PASSWORD', 'to-be-set')}".encode()).decode()


def answer_to(text):
    """RapidSMS's own applications: ping, echo, and a word for who is not understood."""
    if text.lower() == "ping":
        return "pong"
    if text.lower().startswith("echo "):
        return text[5:]
    return "Sorry, that is not understood."


def send(message):
    """Answer as RapidSMS does: later, by a request of its own."""
    body = {
        "content": answer_to(message["content"] or ""),
        "to_addr": [message["from_addr"]],
        "in_reply_to": message["message_id"],
        "session_event": None,
        "metadata": {},
    }
    headers = {"Authorization": "Basic " + LOGIN, "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(RELAY, json.dumps(body).encode(), headers), timeout=20).close()


class Backend(BaseHTTPRequestHandler):
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message["session_event"] != "close":
            threading.Thread(target=send, args=(message,)).start()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8001"))), Backend)
print(server.server_port, flush=True)
server.serve_forever()
