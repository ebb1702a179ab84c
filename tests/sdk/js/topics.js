// SPDX-License-Identifier: Apache-2.0
// Topics with the official JavaScript SDK: node topics.js http|grpc BROKER. It subscribes on APP_PORT, publishes through
// the sidecar, and ends with 0 when everything came where it was meant to.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprPubSubStatusEnum, DaprServer } = require("@dapr/dapr");

const [protocol, bus] = process.argv.slice(2);
const MANY = 100;
const got = { orders: [], urgent: [], rest: [], risky: [], dead: [], many: [] };
const server = new DaprServer({
  communicationProtocol: protocol === "http" ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
});

// What is published before a topic is subscribed to is for nobody, so each is asked until it answers.
const PING = { do: "SUCCESS", ping: true };
const answering = new Set();

const keep = (name) => async (data) => {
  if (data.ping) {
    answering.add(name);
  } else {
    got[name].push(data);
  }
};

async function begin(pubsub) {
  for (const topic of ["orders", "ruled", "risky", "dead", "many"]) {
    while (!answering.has(topic === "ruled" ? "rest" : topic)) {
      await pubsub.publish(bus, topic, PING);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function arrives(name, count) {
  const end = Date.now() + 60_000;
  while (got[name].length < count) {
    assert.ok(Date.now() < end, `${got[name].length} of ${count} events of ${name}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return got[name];
}

async function subscribe() {
  await server.pubsub.subscribe(bus, "orders", keep("orders"));
  await server.pubsub.subscribeWithOptions(bus, "ruled", {
    route: { rules: [{ match: 'event.type == "urgent"', path: "urgent" }], default: "rest" },
  });
  server.pubsub.subscribeToRoute(bus, "ruled", "urgent", keep("urgent"));
  server.pubsub.subscribeToRoute(bus, "ruled", "rest", keep("rest"));
  await server.pubsub.subscribeWithOptions(bus, "risky", {
    deadLetterTopic: "dead",
    callback: async (data) => {
      await keep("risky")(data);
      return DaprPubSubStatusEnum[data.do];
    },
  });
  await server.pubsub.subscribe(bus, "dead", keep("dead"));
  await server.pubsub.subscribeBulk(bus, "many", keep("many"), { maxMessagesCount: 10, maxAwaitDurationMs: 50 });
}

async function main() {
  await subscribe();
  await server.start();
  const { pubsub } = server.client;
  await begin(pubsub);
  await pubsub.publish(bus, "orders", { item: "réef ✓" });
  assert.deepEqual(await arrives("orders", 1), [{ item: "réef ✓" }]);
  await pubsub.publish(bus, "orders", "plain");
  assert.equal((await arrives("orders", 2))[1], "plain");
  await pubsub.publish(bus, "ruled", { n: 1 }, { metadata: { "cloudevent.type": "urgent" } });
  await pubsub.publish(bus, "ruled", { n: 2 });
  assert.deepEqual(await arrives("urgent", 1), [{ n: 1 }]);
  assert.deepEqual(await arrives("rest", 1), [{ n: 2 }]);
  const own = { specversion: "1.0", type: "own", source: "here", id: "own-1", data: { n: 3 } };
  await pubsub.publish(bus, "orders", own, { contentType: "application/cloudevents+json" });
  assert.deepEqual((await arrives("orders", 3))[2], { n: 3 });
  for (const what of ["SUCCESS", "DROP", "RETRY"]) {
    await pubsub.publish(bus, "risky", { do: what });
  }
  assert.deepEqual((await arrives("dead", 2)).map((data) => data.do).sort(), ["DROP", "RETRY"]);
  assert.equal((await arrives("risky", 3)).length, 3);
  const messages = Array.from({ length: MANY }, (_, n) => ({ n }));
  const { failedMessages } = await pubsub.publishBulk(bus, "many", messages);
  assert.deepEqual(failedMessages, []);
  const numbers = (await arrives("many", MANY)).map(({ n }) => n);
  assert.deepEqual(numbers.sort((a, b) => a - b), messages.map(({ n }) => n));
  const { error } = await pubsub.publish("ghost", "orders", "x").catch((thrown) => thrown);
  assert.match(String(error), /pubsub ghost is not found/);
  console.log("all is well");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
