// SPDX-License-Identifier: Apache-2.0
// Documents with the official JavaScript SDK, as buffers and as streams: node crypto.js PROVIDER KEY WRAP. DAPR_HTTP_PORT
// and DAPR_GRPC_PORT lead to the sidecar, as a launcher sets them. Ends with 0 when every answer was the right one.
const assert = require("node:assert/strict");
const { Readable } = require("node:stream");
const { buffer } = require("node:stream/consumers");
const { pipeline } = require("node:stream/promises");
const { CommunicationProtocolEnum, DaprClient } = require("@dapr/dapr");

const [componentName, keyName, keyWrapAlgorithm] = process.argv.slice(2);
const client = new DaprClient({ communicationProtocol: CommunicationProtocolEnum.GRPC });
const options = { componentName, keyName, keyWrapAlgorithm };

async function through(data, duplex) {
  const [, result] = await Promise.all([pipeline(Readable.from(data), duplex), buffer(duplex)]);
  return result;
}

function* pieces(data, bytes) {
  for (let at = 0; at < data.length; at += bytes) yield data.subarray(at, at + bytes);
}

async function main() {
  const text = "größe, 漢字 and 🎲";
  const sealed = await client.crypto.encrypt(text, options);
  assert.equal(sealed.subarray(0, 15).toString(), "dapr.io/enc/v1\n");
  assert.equal((await client.crypto.decrypt(sealed, { componentName })).toString(), text);
  const big = Buffer.alloc(3000000, "0123456789");
  const stream = await through(pieces(big, 100000), await client.crypto.encrypt(options));
  assert.ok((await through(pieces(stream, 77777), await client.crypto.decrypt({ componentName }))).equals(big));
  sealed[sealed.length - 1] ^= 1;
  await assert.rejects(client.crypto.decrypt(sealed, { componentName }), /failed to decrypt segment/);
  await assert.rejects(client.crypto.encrypt(text, { ...options, keyName: "none" }), /failed to load key 'none'/);
  await client.stop();
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
