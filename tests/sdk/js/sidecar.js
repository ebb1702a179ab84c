// SPDX-License-Identifier: Apache-2.0
// Secrets, metadata, health and the end of the sidecar with the official JavaScript SDK: node sidecar.js http|grpc.
// DAPR_HTTP_PORT and DAPR_GRPC_PORT lead to the sidecar. Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprClient } = require("@dapr/dapr");

const isHttp = process.argv[2] === "http";
const client = new DaprClient({
  communicationProtocol: isHttp ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
});

async function secrets() {
  assert.deepEqual(await client.secret.get("vault", "plain"), { plain: "swordfish" });
  assert.deepEqual(await client.secret.get("vault", "nested:inner"), { "nested:inner": "deep" });
  assert.deepEqual(await client.secret.getBulk("vault"), {
    plain: { plain: "swordfish" },
    "nested:inner": { "nested:inner": "deep" },
  });
  await assert.rejects(client.secret.get("vault", "none"), (error) => {
    if (!isHttp) return error.code === 13 && error.rawMessage.includes("secret none not found");
    const told = JSON.parse(error.message);
    return told.status === 500 && JSON.parse(told.error_msg).errorCode === "ERR_SECRET_GET";
  });
  await assert.rejects(client.secret.get("ghost", "none"), (error) =>
    isHttp ? JSON.parse(error.message).status === 401 : error.code === 3,
  );
}

async function metadata() {
  assert.equal(await client.metadata.set("colour", "réd"), true);
  const got = await client.metadata.get();
  assert.equal(got.id, "js");
  assert.equal(got.extended.colour, "réd");
  assert.deepEqual(
    got.components.map((c) => [c.name, c.type, c.version]).sort(),
    [
      ["lite", "state.sqlite", "v1"],
      ["mem", "state.in-memory", "v1"],
      ["vault", "secretstores.local.file", "v1"],
    ],
  );
  assert.ok(got.components.find((c) => c.name === "lite").capabilities.includes("TRANSACTIONAL"));
}

async function health() {
  assert.equal(await client.health.isHealthy(), true);
}

// Nobody who calls what is not there waits for it or takes it for done.
async function missing() {
  const calls = {
    binding: () => client.binding.send("bin", "create", { a: 1 }),
    lock: () => client.lock.lock("locks", "file", "me", 10),
  };
  for (const [name, call] of Object.entries(calls)) {
    let error;
    try {
      error = (await call())?.error;
    } catch (thrown) {
      error = thrown.error ?? thrown;
    }
    assert.ok(error, name);
    const code = name === "lock" ? 9 : 13; // FAILED_PRECONDITION, INTERNAL
    if (!isHttp) assert.equal(error.code, code, `${name}: ${error}`);
  }
}

async function shutdown() {
  await client.sidecar.shutdown();
}

async function main() {
  await client.start();
  for (const part of [secrets, metadata, health, missing, shutdown]) {
    await part().catch((error) => {
      throw new Error(`${part.name}: ${error.message}`, { cause: error });
    });
    console.log(`ok ${part.name}`);
  }
  await client.stop();
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
