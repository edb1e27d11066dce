// Submits a job to Fleetline over AMQP and waits for the answer.
//
//     npm install
//     node submit.mjs amqp://guest:guest@localhost/%2f "Connection refused by db-1"

import { createHash, randomUUID } from "node:crypto";
import amqp from "amqplib";

/** Milliseconds to wait for the answer: while Fleetline is away the message waits for it. */
const PATIENCE = 60_000;

/** One log event as a job of kind log.analyze; resolves to Fleetline's answer. */
export async function submit(url, message) {
  const connection = await amqp.connect(url);
  // An Ack means that the broker has the message on disk; `mandatory` that a queue took it.
  const channel = await connection.createConfirmChannel();
  channel.on("return", () => console.error("no queue fleetline.submit: is `fleetline serve` set up?"));

  const answer = new Promise((resolve) => {
    channel.consume("amq.rabbitmq.reply-to", (reply) => resolve(JSON.parse(reply.content)), { noAck: true });
  });
  const messageId = randomUUID();
  const job = {
    kind: "log.analyze",
    args: {
      analyser: { name: "builtin", version: "log-rules-1" },
      logger: "example",
      level: "ERROR",
      message,
      fingerprint: createHash("sha1").update(message).digest("hex"),
      template: message,
    },
  };
  channel.publish("", "fleetline.submit", Buffer.from(JSON.stringify(job)), {
    contentType: "application/json",
    persistent: true,
    mandatory: true,
    // The idempotency key: sent again with the same id, it is the same run.
    messageId,
    replyTo: "amq.rabbitmq.reply-to",
  });
  await channel.waitForConfirms();
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE)));
  const answered = await Promise.race([answer, late]);
  clearTimeout(timer);
  await connection.close();
  if (answered === undefined) {
    throw new Error(
      `no answer within ${PATIENCE / 1000} s: is \`fleetline serve\` running? The answer may also be lost: ` +
        `send the same message again with the same message id, ${messageId}`,
    );
  }
  return answered;
}

console.log(JSON.stringify(await submit(process.argv[2], process.argv[3])));
