// SPDX-License-Identifier: Apache-2.0
// Service invocation with the official JavaScript SDK: node invoke.js http|grpc APP-ID KIND. DAPR_HTTP_PORT
// and DAPR_GRPC_PORT lead to the sidecar; any application of tests/sdk may be behind it. Its KIND is `http`, `grpc-js` or
// `grpc-python` (which is not told the HTTP verb). Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { CommunicationProtocolEnum, DaprClient, HttpMethod } = require("@dapr/dapr");

const [protocol, app, kind] = process.argv.slice(2);
const client = new DaprClient({
  communicationProtocol: protocol === "http" ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
});

async function main() {
  await client.start();
  assert.deepEqual(await client.invoker.invoke(app, "hello", HttpMethod.POST, { name: "réef ✓" }), { hello: "réef ✓" });
  for (const method of kind === "grpc-python" ? [] : ["get", "put", "delete"]) {
    const data = method === "put" ? { a: 1 } : undefined;
    assert.deepEqual(await client.invoker.invoke(app, "item", method, data), { method });
  }
  const text = "x".repeat(1_000_000);
  assert.deepEqual(await client.invoker.invoke(app, "length", HttpMethod.POST, { text }), { length: 1_000_000 });
  const kept = { key: `js-${protocol}`, value: { deep: [1, "ü"] } };
  assert.deepEqual(await client.invoker.invoke(app, "remember", HttpMethod.POST, kept), { value: kept.value });
  const names = Array.from({ length: 100 }, (_, i) => `n${i}`);
  assert.deepEqual(
    await Promise.all(names.map((name) => client.invoker.invoke(app, "hello", HttpMethod.POST, { name }))),
    names.map((name) => ({ hello: name })),
  );
  await assert.rejects(client.invoker.invoke("nobody-has-this-id", "hello", HttpMethod.POST, { name: "x" }));
  await client.stop();
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
