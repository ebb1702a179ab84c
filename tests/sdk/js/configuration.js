// SPDX-License-Identifier: Apache-2.0
// Configuration with the official JavaScript SDK, over gRPC: node configuration.js STORE. Says what it waits for, so that
// whoever writes the store knows when to. Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprClient } = require("@dapr/dapr");

const store = process.argv[2];
const client = new DaprClient({ communicationProtocol: CommunicationProtocolEnum.GRPC });
const seen = [];
let look = () => {};

async function waitFor(key, value) {
  console.log(`waiting for ${key}=${value}`);
  while (!seen.some((items) => items[key]?.value === value)) await new Promise((resolve) => (look = resolve));
}

async function main() {
  await client.start();
  const got = await client.configuration.get(store, ["orderId1", "orderId2", "none"]);
  assert.deepEqual(Object.keys(got.items).sort(), ["orderId1", "orderId2"]);
  assert.equal(got.items.orderId1.value, "101");
  assert.equal(got.items.orderId1.version, "1");
  const stream = await client.configuration.subscribeWithKeys(store, ["orderId1", "orderId2"], async (config) => {
    seen.push(config.items);
    look();
  });
  await waitFor("orderId1", "103");
  await waitFor("orderId2", "104");
  stream.stop();
  console.log("waiting for nothing=0");
  await client.stop();
  console.log("all is well");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
