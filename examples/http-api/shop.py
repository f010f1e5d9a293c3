"""A webhook in Python: it answers "hours" at once, and everything else by a request."""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API, TOKEN, SECRET = os.environ["API"], os.environ["TOKEN"], os.environ["SECRET"]
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


def signed(headers, body):
    """Verify the signature, and that it is no older than five minutes."""
    stamp = headers["webhook-timestamp"]
    text = f"{headers['webhook-id']}.{stamp}.".encode() + body
    want = "v1," + base64.b64encode(hmac.digest(KEY, text, hashlib.sha256)).decode()
    return hmac.compare_digest(want, headers["webhook-signature"]) and abs(time.time() - int(stamp)) < 300


def reply(message, content):
    """Answer a message; a second request of the same key sends nothing more."""
    request = urllib.request.Request(
        API + "/messages",
        json.dumps({"reply_to": message["id"], "content": content}).encode(),
        {"Authorization": "Bearer " + TOKEN, "Idempotency-Key": "reply-" + message["id"]},
    )
    urllib.request.urlopen(request, timeout=20).close()


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not signed(self.headers, body):
            return self.answer(401, {})
        notice = json.loads(body)
        if notice["type"] == "event":
            return self.answer(200, {})
        message = notice["data"]
        if message["content"] == "hours":
            return self.answer(200, {"reply": "We are open from 8 to 5."})
        reply(message, "You wrote: " + message["content"])
        self.answer(200, {})

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Webhook)
print(server.server_port, flush=True)
server.serve_forever()
