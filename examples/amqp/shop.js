// An application over AMQP: it answers what people write, and learns what became of it.
const crypto = require("node:crypto");
const amqp = require("amqplib");

const { AMQP_URL = "amqp://localhost", NAME = "shop" } = process.env; // NAME: one of a dispatcher's exposed_names

// reply answers over the way the message came. The same message gets the same reply, by its id.
function reply(message, content) {
  return {
    message_type: "user_message",
    message_version: "20110921",
    message_id: crypto.createHash("sha256").update(`${NAME} ${message.message_id}`).digest("hex").slice(0, 32),
    timestamp: new Date().toISOString().replace("T", " ").replace("Z", "000"),
    in_reply_to: message.message_id,
    to_addr: message.from_addr,
    from_addr: message.to_addr,
    content,
    session_event: null,
    group: message.group ?? null,
    provider: message.provider ?? null,
    transport_name: message.transport_name,
    transport_type: message.transport_type,
    transport_metadata: message.transport_metadata ?? {},
    helper_metadata: message.helper_metadata ?? {},
    routing_metadata: { endpoint_name: message.routing_metadata?.endpoint_name ?? "default" },
  };
}

async function main() {
  const connection = await amqp.connect(AMQP_URL);
  connection.on("close", () => process.exit(1)); // whoever runs it starts it again
  const channel = await connection.createConfirmChannel();
  channel.on("return", () => process.exit(1)); // the broker confirms also what no queue takes
  await channel.prefetch(20);
  await channel.assertExchange("vumi", "direct", { durable: true });
  for (const flow of ["inbound", "outbound", "event"]) {
    await channel.assertQueue(`${NAME}.${flow}`, { durable: true });
    await channel.bindQueue(`${NAME}.${flow}`, "vumi", `${NAME}.${flow}`);
  }

  const handle = (delivery, work) => work(JSON.parse(delivery.content)).then(() => channel.ack(delivery)); // only then
  const publish = (message) =>
    new Promise((done, fail) =>
      channel.publish("vumi", `${NAME}.outbound`, Buffer.from(JSON.stringify(message)), { persistent: true, mandatory: true }, (error) =>
        error ? fail(error) : done(),
      ),
    );
  await channel.consume(`${NAME}.inbound`, (delivery) =>
    handle(delivery, async (message) => {
      if (message.session_event !== "close") await publish(reply(message, `You wrote: ${message.content ?? ""}`));
    }),
  );
  await channel.consume(`${NAME}.event`, (delivery) =>
    handle(delivery, async (event) => console.log(event.event_type, event.user_message_id)),
  );
}

main();
