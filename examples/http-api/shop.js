// A webhook in JavaScript: it answers "hours" at once, and everything else by a request.
const crypto = require("node:crypto");
const http = require("node:http");

const { API, TOKEN, SECRET, PORT = "8000" } = process.env;
const key = Buffer.from(SECRET.replace(/^whsec_/, ""), "base64");

// signed verifies the signature, and that it is no older than five minutes.
function signed(headers, body) {
  const stamp = headers["webhook-timestamp"];
  const text = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${stamp}.`), body]);
  const want = Buffer.from("v1," + crypto.createHmac("sha256", key).update(text).digest("base64"));
  const got = Buffer.from(headers["webhook-signature"] ?? "");
  return got.length === want.length && crypto.timingSafeEqual(got, want) && Math.abs(Date.now() / 1000 - stamp) < 300;
}

// reply answers a message; a second request of the same key sends nothing more.
async function reply(message, content) {
  const answer = await fetch(`${API}/messages`, {
    method: "POST",
    headers: { Authorization: `Bearer ${TOKEN}`, "Idempotency-Key": `reply-${message.id}` },
    body: JSON.stringify({ reply_to: message.id, content }),
    signal: AbortSignal.timeout(20_000),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

async function handle(headers, body) {
  if (!signed(headers, body)) return [401, {}];
  const notice = JSON.parse(body);
  if (notice.type === "event") return [200, {}];
  const message = notice.data;
  if (message.content === "hours") return [200, { reply: "We are open from 8 to 5." }];
  await reply(message, `You wrote: ${message.content}`);
  return [200, {}];
}

const server = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const [status, value] = await handle(request.headers, Buffer.concat(chunks)).catch((error) => [500, { error: String(error) }]);
  response.writeHead(status).end(JSON.stringify(value));
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(server.address().port));
