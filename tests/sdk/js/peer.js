// SPDX-License-Identifier: Apache-2.0
// The official @grpc/grpc-js as a peer, for interop of every client with every server; what interop.Peer does is told in
// python/peer.py.
//   node peer.js serve PORT
//   node peer.js call TARGET APP
//   node peer.js dapr TARGET PROTO-FOLDER
const assert = require("node:assert/strict");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const WORDS = "ünlucky: 100 % gone";
const LARGE = 6 << 20;
const GZIP = { "grpc.default_compression_algorithm": 2 };
const SIZES = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

const bytes = (value) => value;
const method = (name, requestStream, responseStream) => ({
  path: `/interop.Peer/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const PEER = {
  Echo: method("Echo", false, false),
  Count: method("Count", false, true),
  Sum: method("Sum", true, false),
  Chat: method("Chat", true, true),
  Hang: method("Hang", false, true),
  Hung: method("Hung", false, false),
  Nothing: method("Nothing", false, false),
};

// --- server

let hung = 0;

function echo(call, answer) {
  const first = new grpc.Metadata();
  const last = new grpc.Metadata();
  for (const [from, to] of [["x-echo", "x-last"], ["x-echo-bin", "x-last-bin"]]) {
    for (const value of call.metadata.get(from)) {
      first.add(from, value);
      last.add(to, value);
    }
  }
  call.sendMetadata(first);
  if (call.metadata.get("x-fail").length > 0) {
    last.set("grpc-status-details-bin", call.request);
    answer({ code: grpc.status.DATA_LOSS, details: WORDS, metadata: last });
  } else if (call.metadata.get("x-who").length > 0) {
    const lines = Object.entries(call.metadata.getMap()).filter(([name]) => !name.endsWith("-bin"));
    answer(null, Buffer.from(lines.map(([name, value]) => `${name}: ${value}\n`).join("")), last);
  } else {
    answer(null, call.request, last);
  }
}

async function count(call) {
  const [number, size] = call.request.toString().split(" ").map(Number);
  for (let i = 0; i < number; i++) {
    if (!call.write(Buffer.alloc(size, i % 256))) await new Promise((resolve) => call.once("drain", resolve));
  }
  call.end();
}

function sum(call, answer) {
  let number = 0;
  let size = 0;
  call.on("data", (message) => {
    number++;
    size += message.length;
  });
  call.on("end", () => answer(null, Buffer.from(`${number} ${size}`)));
}

function chat(call) {
  call.on("data", (message) => call.write(message));
  call.on("end", () => call.end());
}

function hang(call) {
  const here = new grpc.Metadata();
  here.set("x-here", "yes");
  call.sendMetadata(here);
  call.on("cancelled", () => hung++);
}

function serve(port) {
  const server = new grpc.Server(SIZES);
  const { Nothing, ...methods } = PEER;
  server.addService(methods, {
    Echo: echo,
    Count: count,
    Sum: sum,
    Chat: chat,
    Hang: hang,
    Hung: (_, answer) => answer(null, Buffer.from(String(hung))),
  });
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) throw error;
    console.log("serving");
  });
}

// --- client of interop.Peer

class Peer {
  constructor(target, app, more = {}) {
    const Client = grpc.makeGenericClientConstructor(PEER, "Peer");
    this.client = new Client(target, grpc.credentials.createInsecure(), { ...SIZES, ...more });
    this.app = app;
  }

  metadata(pairs = []) {
    const metadata = new grpc.Metadata();
    if (this.app !== "-") metadata.set("dapr-app-id", this.app);
    for (const [name, value] of pairs) metadata.add(name, value);
    return metadata;
  }

  // {error, value, first, last}: all there is to know of a call with one answer.
  unary(name, message, pairs) {
    return new Promise((resolve) => {
      const got = {};
      const call = this.client[name](message, this.metadata(pairs), soon(60_000), (error, value) => {
        Object.assign(got, { error, value });
      });
      call.on("metadata", (metadata) => (got.first = metadata));
      call.on("status", (status) => resolve({ ...got, last: status.metadata }));
    });
  }

  async echo(message, pairs) {
    const got = await this.unary("Echo", message, pairs);
    assert.equal(got.error, null);
    return got.value;
  }

  async hung() {
    return Number((await this.unary("Hung", Buffer.alloc(0))).value.toString());
  }

  async untilHung(number) {
    const end = Date.now() + 30_000;
    while ((await this.hung()) < number) {
      assert.ok(Date.now() < end, "the application does not know that its caller left");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const soon = (ms) => ({ deadline: Date.now() + ms });

async function unary(p) {
  for (const message of [Buffer.alloc(0), Buffer.from("a"), Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256))]) {
    assert.ok((await p.echo(message)).equals(message));
  }
  const large = Buffer.alloc(LARGE, "z");
  assert.ok((await p.echo(large)).equals(large));
}

async function compression(p, target, app) {
  const message = Buffer.alloc(300_000, "c");
  assert.ok((await new Peer(target, app, GZIP).echo(message)).equals(message));
}

async function metadata(p) {
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const pairs = [["x-echo", "one"], ["x-echo", "two"], ["x-echo-bin", all]];
  const { error, first, last } = await p.unary("Echo", Buffer.alloc(0), pairs);
  assert.equal(error, null);
  // This client joins the values of one name.
  assert.equal(first.get("x-echo").join(", "), "one, two");
  assert.deepEqual(first.get("x-echo-bin"), [all]);
  assert.equal(last.get("x-last").join(", "), "one, two");
  assert.deepEqual(last.get("x-last-bin"), [all]);
}

async function errors(p) {
  // A google.rpc.Status {code, message, details: [{type_url}]}.
  const field = (number, value) => Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
  const detail = field(1, Buffer.from("type.googleapis.com/interop.Gone"));
  const details = Buffer.concat([Buffer.from([8, grpc.status.DATA_LOSS]), field(2, Buffer.from(WORDS)), field(3, detail)]);
  const { error } = await p.unary("Echo", details, [["x-fail", "yes"]]);
  assert.equal(error.code, grpc.status.DATA_LOSS);
  assert.ok(details.equals(error.metadata.get("grpc-status-details-bin")[0]));
  assert.equal(error.details, WORDS);
  const none = await p.unary("Nothing", Buffer.alloc(0));
  assert.equal(none.error.code, grpc.status.UNIMPLEMENTED);
}

function received(stream) {
  return new Promise((resolve, reject) => {
    const got = [];
    stream.on("data", (message) => got.push(message));
    stream.on("error", reject);
    stream.on("end", () => resolve(got));
  });
}

function summed(p, number, size) {
  return new Promise((resolve, reject) => {
    const call = p.client.Sum(p.metadata(), soon(60_000), (error, value) =>
      error ? reject(error) : resolve(value.toString()),
    );
    for (let i = 0; i < number; i++) call.write(Buffer.alloc(size, "x"));
    call.end();
  });
}

async function streams(p) {
  for (const [number, size] of [[10000, 100], [16, 1_000_000], [0, 0]]) {
    const got = await received(p.client.Count(Buffer.from(`${number} ${size}`), p.metadata(), soon(60_000)));
    assert.equal(got.length, number);
    assert.ok(got.every((message, i) => message.length === size && message[0] === i % 256));
    assert.equal(await summed(p, number, size), `${number} ${number * size}`);
  }
}

async function chats(p) {
  const call = p.client.Chat(p.metadata(), soon(60_000));
  const said = [];
  const got = [];
  const say = () => {
    said.push(String(said.length).repeat(1 + said.length));
    call.write(Buffer.from(said.at(-1)));
  };
  call.on("data", (message) => {
    got.push(message.toString());
    if (said.length < 200) say();
    else call.end();
  });
  say();
  await new Promise((resolve, reject) => call.on("end", resolve).on("error", reject));
  assert.deepEqual(got, said);
}

async function leaving(p) {
  const before = await p.hung();
  const stream = p.client.Hang(Buffer.alloc(0), p.metadata(), soon(60_000));
  const left = new Promise((resolve) => stream.on("error", resolve));
  const here = await new Promise((resolve) => stream.on("metadata", resolve));
  assert.deepEqual(here.get("x-here"), ["yes"]);
  stream.on("data", () => {});
  stream.cancel();
  assert.equal((await left).code, grpc.status.CANCELLED);
  await p.untilHung(before + 1);
  const reached = (await late(p, 300)) || (await late(p, 3_000)) || (await late(p, 30_000));
  assert.ok(reached, "no call reached the application");
  await p.untilHung(before + 2);
}

// Whether the call reached the application before its deadline, on a machine that may be slow.
async function late(p, ms) {
  const stream = p.client.Hang(Buffer.alloc(0), p.metadata(), soon(ms));
  let isHere = false;
  stream.on("metadata", (here) => (isHere = here.get("x-here").length > 0));
  stream.on("data", () => {});
  const { code } = await new Promise((resolve) => stream.on("error", resolve));
  // grpc-go resets the call when its clock is the first; between it and us stands then nobody who knows better.
  assert.ok(code === grpc.status.DEADLINE_EXCEEDED || (p.app === "-" && code === grpc.status.CANCELLED), String(code));
  return isHere;
}

async function many(p) {
  const said = Array.from({ length: 200 }, (_, i) => String(i));
  const got = await Promise.all(said.map((text) => p.echo(Buffer.from(text))));
  assert.deepEqual(
    got.map((message) => message.toString()),
    said,
  );
}

async function call(target, app) {
  const p = new Peer(target, app);
  for (const part of [unary, compression, metadata, errors, streams, chats, leaving, many]) {
    await part(p, target, app);
    console.log(`ok ${part.name}`);
  }
}

// --- client of the sidecar's own API, made from the .proto files of this tree

async function dapr(target, protos) {
  const made = protoLoader.loadSync("dapr/proto/runtime/v1/dapr.proto", {
    includeDirs: protos.split(":"),
    keepCase: true,
    bytes: Buffer,
    defaults: true,
  });
  const { Dapr } = grpc.loadPackageDefinition(made).dapr.proto.runtime.v1;
  const client = new Dapr(target, grpc.credentials.createInsecure(), SIZES);
  const ask = (name, request, one = client) =>
    new Promise((resolve, reject) => {
      const metadata = new grpc.Metadata();
      metadata.set("x-own-bin", Buffer.from([0, 255]));
      one[name](request, metadata, soon(60_000), (error, value) => (error ? reject(error) : resolve(value)));
    });
  const save = (value, one) => ask("SaveState", { store_name: "mem", states: [{ key: "js", value }] }, one);
  const get = async (one) => (await ask("GetState", { store_name: "mem", key: "js" }, one)).data;
  for (const value of [Buffer.alloc(0), Buffer.from([0, 1, 254, 255]), Buffer.alloc(5 << 20, "v")]) {
    await save(value);
    assert.ok((await get()).equals(value));
  }
  const zip = new Dapr(target, grpc.credentials.createInsecure(), { ...SIZES, ...GZIP });
  await save(Buffer.alloc(500_000, "z"), zip);
  assert.ok((await get(zip)).equals(Buffer.alloc(500_000, "z")));
  await assert.rejects(ask("GetState", { store_name: "ghost", key: "js" }), (error) => {
    assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
    assert.equal(error.details, "state store ghost is not found");
    return error.metadata.get("grpc-status-details-bin")[0].includes("DAPR_STATE_NOT_FOUND");
  });
  await assert.rejects(save(Buffer.alloc(17 << 20)), { code: grpc.status.RESOURCE_EXHAUSTED });
  const got = await Promise.all(Array.from({ length: 200 }, () => get()));
  assert.ok(got.every((value) => value.length === 500_000));
}

async function main() {
  const [what, ...words] = process.argv.slice(2);
  if (what === "serve") return serve(...words);
  await { call, dapr }[what](...words);
  console.log("all is well");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
