// SPDX-License-Identifier: Apache-2.0
// State with the official JavaScript SDK: node state.js http|grpc STORE. DAPR_HTTP_PORT and DAPR_GRPC_PORT lead to the
// sidecar, as a launcher sets them. Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprClient, StateConcurrencyEnum, StateConsistencyEnum } = require("@dapr/dapr");

const [protocol, store] = process.argv.slice(2);
const isHttp = protocol === "http";
const client = new DaprClient({
  communicationProtocol: isHttp ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
});
// What a value that is not there looks like.
const nothing = "";

async function one() {
  await client.state.save(store, [{ key: "order-1", value: { item: "coral", paid: false } }]);
  assert.deepEqual(await client.state.get(store, "order-1"), { item: "coral", paid: false });
  await client.state.save(store, [{ key: "order-1", value: "héllo ✓" }]);
  assert.equal(await client.state.get(store, "order-1"), "héllo ✓");
  await client.state.delete(store, "order-1");
  assert.equal(await client.state.get(store, "order-1"), nothing);
  assert.equal(await client.state.get(store, "never"), nothing);
}

async function many() {
  const keys = Array.from({ length: 200 }, (_, i) => `many-${i}`);
  await client.state.save(
    store,
    keys.map((key, i) => ({ key, value: { i } })),
  );
  const got = await client.state.getBulk(store, [...keys, "many-none"], { parallelism: 20 });
  const byKey = new Map(got.map((item) => [item.key, item]));
  assert.equal(byKey.size, 201);
  keys.forEach((key, i) => assert.deepEqual(byKey.get(key).data, { i }));
  assert.ok(!byKey.get("many-none").data);
  const both = await Promise.all(keys.map((key) => client.state.get(store, key)));
  assert.deepEqual(
    both,
    keys.map((_, i) => ({ i })),
  );
}

// The HTTP client returns a refused save, the gRPC client throws it.
async function refused(call) {
  try {
    return (await call())?.error;
  } catch (error) {
    return error;
  }
}

async function etags() {
  const options = {
    concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE,
    consistency: StateConsistencyEnum.CONSISTENCY_STRONG,
  };
  await client.state.save(store, [{ key: "tagged", value: "one" }]);
  const [{ etag }] = await client.state.getBulk(store, ["tagged"]);
  assert.ok(etag);
  assert.ok(!(await refused(() => client.state.save(store, [{ key: "tagged", value: "two", etag, options }]))));
  const error = await refused(() => client.state.save(store, [{ key: "tagged", value: "three", etag, options }]));
  if (isHttp) assert.equal(JSON.parse(error.message).status, 409);
  else assert.equal(error.code, 10); // ABORTED
  assert.equal(await client.state.get(store, "tagged"), "two");
  assert.ok(await refused(() => client.state.delete(store, "tagged", { etag, ...options })));
  const [now] = await client.state.getBulk(store, ["tagged"]);
  assert.ok(!(await refused(() => client.state.delete(store, "tagged", { etag: now.etag, ...options }))));
  assert.equal(await client.state.get(store, "tagged"), nothing);
}

async function transactions() {
  await client.state.save(store, [{ key: "from", value: "100" }]);
  await client.state.transaction(store, [
    { operation: "delete", request: { key: "from" } },
    { operation: "upsert", request: { key: "to", value: "100" } },
  ]);
  assert.equal(await client.state.get(store, "from"), nothing);
  assert.equal(String(await client.state.get(store, "to")), "100");
  const stale = { operation: "upsert", request: { key: "to", value: "x", etag: "424242" } };
  const fresh = { operation: "upsert", request: { key: "from", value: "x" } };
  assert.ok(await refused(() => client.state.transaction(store, [fresh, stale])));
  assert.equal(await client.state.get(store, "from"), nothing);
  assert.equal(String(await client.state.get(store, "to")), "100");
}

async function timeToLive() {
  await client.state.save(store, [{ key: "brief", value: "x", metadata: { ttlInSeconds: "3600" } }]);
  assert.equal(await client.state.get(store, "brief"), "x");
  await client.state.save(store, [{ key: "brief", value: "y" }], { metadata: { ttlInSeconds: "3600" } });
  assert.equal(await client.state.get(store, "brief"), "y");
}

async function queries() {
  const people = { ann: 30, bob: 40, cid: 50 };
  await client.state.save(
    store,
    Object.entries(people).map(([key, age]) => ({
      key,
      value: { age, team: "reef" },
      metadata: { contentType: "application/json" },
    })),
  );
  const got = await client.state.query(store, {
    filter: { AND: [{ EQ: { team: "reef" } }, { IN: { age: [40, 50] } }] },
    sort: [{ key: "age", order: "DESC" }],
    page: { limit: 10 },
  });
  assert.deepEqual(
    got.results.map((item) => item.key),
    ["cid", "bob"],
  );
  const data = got.results[0].data;
  assert.deepEqual(isHttp ? data : JSON.parse(Buffer.from(data).toString()), { age: 50, team: "reef" });
  const none = await client.state.query(store, { filter: { EQ: { team: "none" } }, sort: [], page: { limit: 1 } });
  assert.deepEqual(none.results, []);
}

async function big() {
  const text = "sea ".repeat(900_000);
  await client.state.save(store, [{ key: "big", value: { text } }]);
  assert.equal((await client.state.get(store, "big")).text, text);
}

async function errors() {
  const error = await refused(() => client.state.get("ghost", "k"));
  if (isHttp) {
    const told = JSON.parse(error.message);
    assert.equal(told.status, 400);
    const body = JSON.parse(told.error_msg);
    assert.equal(body.errorCode, "ERR_STATE_STORE_NOT_FOUND");
    assert.equal(body.message, "state store ghost is not found");
  } else {
    assert.equal(error.code, 3); // INVALID_ARGUMENT
    assert.equal(error.rawMessage, "state store ghost is not found");
  }
  assert.ok(await refused(() => client.state.save(store, [{ key: "a||b", value: 1 }])));
}

async function main() {
  await client.start();
  // Of the stores only SQLite can be queried.
  const parts = [one, many, etags, transactions, timeToLive, big, errors, ...(store === "lite" ? [queries] : [])];
  for (const part of parts) {
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
