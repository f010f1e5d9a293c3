// Sends a message with Twilio's client library, whose base URL is all that is changed, waits
// for its last status callback, and prints what it got as lines of JSON.
// node send.js BASE-URL
const http = require("http");
const twilio = require("twilio");

const token = "secret";
const say = (what) => console.log(JSON.stringify(what));
const client = twilio("AC0123456789", token);
client.api.baseUrl = process.argv[2];

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    const fields = Object.fromEntries(new URLSearchParams(body));
    const url = `http://${request.headers.host}${request.url}`;
    say({
      sid: fields.MessageSid, status: fields.MessageStatus,
      signed: twilio.validateRequest(token, request.headers["x-twilio-signature"], url, fields),
    });
    response.end(() => {
      if (fields.MessageStatus === "delivered") finish(fields.MessageSid);
    });
  });
});

async function finish(sid) {
  server.close();
  const message = await client.messages(sid).fetch();
  say({ sid: message.sid, body: message.body });
}

server.listen(0, "127.0.0.1", async () => {
  try {
    const message = await client.messages.create({
      body: "This is the ship that made the Kessel Run in fourteen parsecs?",
      from: "+15017122661", to: "+15558675310",
      statusCallback: `http://127.0.0.1:${server.address().port}/status?order=1`,
    });
    say({ sid: message.sid, status: message.status });
    await client.messages.create({ from: "+15017122661", to: "+15558675310" }).catch((e) => say({ error: e.code }));
  } catch (error) {
    say({ error: error.message });
    server.close();
  }
});
