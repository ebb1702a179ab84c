// SPDX-License-Identifier: Apache-2.0
// An application with the official JavaScript SDK: node app.js http|grpc. It listens on APP_PORT, as a launcher sets it,
// for what invoke.js and invoke.py call.
const { CommunicationProtocolEnum, DaprServer, HttpMethod } = require("@dapr/dapr");

const server = new DaprServer({
  communicationProtocol: process.argv[2] === "http" ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC,
});

async function main() {
  await server.invoker.listen("hello", async ({ body }) => ({ hello: JSON.parse(body).name }), {
    method: HttpMethod.POST,
  });
  await server.invoker.listen("length", async ({ body }) => ({ length: JSON.parse(body).text.length }), {
    method: HttpMethod.POST,
  });
  // Stores through the sidecar that has called it.
  const remember = async ({ body }) => {
    const { key, value } = JSON.parse(body);
    await server.client.state.save("mem", [{ key, value }]);
    return { value: await server.client.state.get("mem", key) };
  };
  await server.invoker.listen("remember", remember, { method: HttpMethod.POST });
  for (const method of ["get", "put", "delete"]) {
    await server.invoker.listen("item", async () => ({ method }), { method });
  }
  await server.start();
  console.log("listening");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
