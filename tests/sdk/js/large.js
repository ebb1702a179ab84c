// SPDX-License-Identifier: Apache-2.0
// Large values with the official JavaScript SDK: node large.js http|grpc STORE MIB. The sidecar takes messages of so many
// MiB, as the client is told to. Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprClient } = require("@dapr/dapr");

const [protocol, store, mib] = process.argv.slice(2);
const isHttp = protocol === "http";
const client = new DaprClient({
  communicationProtocol: isHttp ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
  maxBodySizeMb: 4 * Number(mib),
});

async function refused(call) {
  try {
    return (await call())?.error;
  } catch (error) {
    return error;
  }
}

async function main() {
  await client.start();
  const value = "x".repeat((Number(mib) << 20) - 1000);
  await client.state.save(store, [{ key: "large", value }]);
  assert.ok((await client.state.get(store, "large")) === value);
  const error = await refused(() => client.state.save(store, [{ key: "larger", value: value + value }]));
  if (isHttp) assert.equal(JSON.parse(error.message).status, 400);
  else assert.equal(error.code, 8); // RESOURCE_EXHAUSTED
  assert.ok((await client.state.get(store, "large")) === value);
  await client.stop();
  console.log("all is well");
}

main().catch((error) => {
  console.error(String(error).slice(0, 2000));
  process.exit(1);
});
