// SPDX-License-Identifier: Apache-2.0
// Locks with the official JavaScript SDK: node lock.js http|grpc STORE. DAPR_HTTP_PORT and DAPR_GRPC_PORT lead to the
// sidecar, as a launcher sets them. Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprClient } = require("@dapr/dapr");
const { LockStatus } = require("@dapr/dapr/types/lock/UnlockResponse");

const [protocol, store] = process.argv.slice(2);
const client = new DaprClient({
  communicationProtocol: protocol === "http" ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
});
const resource = `js-${protocol}`;

async function main() {
  assert.equal((await client.lock.lock(store, resource, "one", 60)).success, true);
  assert.equal((await client.lock.lock(store, resource, "two", 60)).success, false);
  assert.equal((await client.lock.lock(store, resource, "one", 60)).success, false);
  assert.equal((await client.lock.unlock(store, resource, "two")).status, LockStatus.LockBelongsToOthers);
  assert.equal((await client.lock.unlock(store, resource, "one")).status, LockStatus.Success);
  assert.equal((await client.lock.unlock(store, resource, "one")).status, LockStatus.LockDoesNotExist);
  const tried = await Promise.all(Array.from({ length: 20 }, (_, i) => client.lock.lock(store, resource, `o${i}`, 60)));
  assert.equal(tried.filter((reply) => reply.success).length, 1);
  await client.stop();
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
