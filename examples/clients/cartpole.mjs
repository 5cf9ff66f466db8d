// SPDX-License-Identifier: MIT
// Plays CartPole-v1 on an env host, without any package. docs/wire.md describes the bytes.
//
//     envring serve CartPole-v1 --listen tcp://127.0.0.1:7777
//     node examples/clients/cartpole.mjs 127.0.0.1 7777
//
// Prints a line of JSON for the reset and for each of 30 steps. If the host wants a key, it is
// read from the environment variable ENVRING_KEY.
import { randomUUID } from "node:crypto";
import net from "node:net";

const HELLO = 1, WELCOME = 2, OPEN = 3, OPENED = 4, STEP = 7, MESSAGE = 8, RESULT = 9;
const ALIVE = 11, ERROR = 12, CLOSE = 13, CLOSED = 14;
const ARRAYS = 1, REPLY = 8;

// -- values ----------------------------------------------------------------------------------

function encode(value) {
  if (value === null) return Buffer.from("N");
  if (typeof value === "boolean") return Buffer.from(value ? "T" : "F");
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf8");
    return Buffer.concat([tagged("u", text.length), text]);
  }
  if (typeof value === "number") {
    if ((value | 0) === value) return tagged("i", value);
    const bytes = Buffer.from("g........");
    bytes.writeDoubleLE(value, 1);
    return bytes;
  }
  if (Array.isArray(value)) {
    return Buffer.concat([tagged("[", value.length), ...value.map(encode)]);
  }
  const items = Object.entries(value).flat().map(encode);
  return Buffer.concat([Buffer.from("{"), ...items, Buffer.from("0")]);
}

function tagged(type, number) {
  const bytes = Buffer.from(type + "....");
  bytes.writeInt32LE(number, 1);
  return bytes;
}

// A dict becomes a Map. Arrays of numpy stay what they are on the wire, tuples with a tag.
function decode(data) {
  let at = 0;
  const take = (count) => data.subarray(at, (at += count));
  const int = () => take(4).readInt32LE();
  const list = (count) => Array.from({ length: count }, value);
  function value() {
    const type = String.fromCharCode(data[at++]);
    switch (type) {
      case "N": return null;
      case "T": return true;
      case "F": return false;
      case "i": return int();
      case "g": return take(8).readDoubleLE();
      case "u": return take(int()).toString("utf8");
      case "s": return take(int());
      case "(": case "[": return list(int());
      case "l": {
        const count = int();
        let sum = 0;
        for (let i = 0; i < Math.abs(count); i++) sum += take(2).readUInt16LE() * 2 ** (15 * i);
        return count < 0 ? -sum : sum;
      }
      case "{": {
        const found = new Map();
        while (data[at] !== 0x30) {
          const key = value();
          found.set(key, value());
        }
        at++;
        return found;
      }
    }
    throw new Error(`this client knows no values of type ${type}`);
  }
  return value();
}

// -- frames ----------------------------------------------------------------------------------

class Host {
  constructor(host, port) {
    this.socket = net.connect({ host, port, noDelay: true });
    this.chunks = this.socket[Symbol.asyncIterator]();
    this.received = Buffer.alloc(0);
    this.number = 0;
  }

  async read(count) {
    while (this.received.length < count) {
      const { value, done } = await this.chunks.next();
      if (done) throw new Error("the host closed the connection");
      this.received = Buffer.concat([this.received, value]);
    }
    const data = this.received.subarray(0, count);
    this.received = this.received.subarray(count);
    return data;
  }

  async greet() {
    this.socket.write(Buffer.from("ENVR\x01\x00\x01\x00", "latin1"));
    const greeting = await this.read(8);
    if (greeting.toString("latin1", 0, 4) !== "ENVR") throw new Error("this is not an env host");
    if (greeting.readUInt16LE(4) > 1) throw new Error("the host speaks newer versions only");
  }

  // Sends a request and returns the answer.
  async ask(kind, body, answer, number = 0) {
    const head = Buffer.alloc(24);
    head.writeUInt32LE(body.length, 0); // of 8 bytes, as the number is: half of them will do
    head[8] = kind;
    head.writeUInt32LE(number, 16);
    this.socket.write(Buffer.concat([head, body]));
    for (;;) {
      const head = await this.read(24);
      const frame = { kind: head[8], flags: head[9], number: head.readUInt32LE(16) };
      frame.body = await this.read(head.readUInt32LE(0));
      if (frame.kind === ALIVE) continue; // the envs take long
      if (frame.kind === ERROR) throw new Error(decode(frame.body).get("text"));
      if (frame.kind === answer && frame.number === number) return frame;
      throw new Error(`the host sent a frame of kind ${frame.kind}`);
    }
  }

  // Runs a batch and returns what the envs did.
  async batch(kind, body, numEnvs) {
    const frame = await this.ask(kind, body, RESULT, ++this.number);
    const result = {};
    let at = 0;
    const numbers = (count, size, read) =>
      Array.from({ length: count }, () => read.call(frame.body, (at += size) - size));
    if (frame.flags & ARRAYS) {
      const { readFloatLE, readDoubleLE, readUInt8 } = Buffer.prototype;
      result.observations = Array.from({ length: numEnvs }, () => numbers(4, 4, readFloatLE));
      result.rewards = numbers(numEnvs, 8, readDoubleLE);
      result.terminations = numbers(numEnvs, 1, readUInt8);
      result.truncations = numbers(numEnvs, 1, readUInt8);
    }
    if (frame.flags & REPLY) {
      const reply = decode(frame.body.subarray(at));
      for (const [env, , text] of reply.get("failures") ?? []) {
        throw new Error(`env ${env}: ${text}`);
      }
    }
    return result;
  }
}

// -- the game --------------------------------------------------------------------------------

const [name = "127.0.0.1", port = "7777"] = process.argv.slice(2);
const numEnvs = 2;
const host = new Host(name, Number(port));
await host.greet();
const hello = { client_id: randomUUID(), key: process.env.ENVRING_KEY ?? null };
await host.ask(HELLO, encode(hello), WELCOME);
const sources = Array(numEnvs).fill({ env: "CartPole-v1" });
await host.ask(OPEN, encode({ sources }), OPENED);

const reset = encode(["reset", [7, 8], null, null, false]);
console.log(JSON.stringify(await host.batch(MESSAGE, reset, numEnvs)));
for (let step = 0; step < 30; step++) {
  const actions = Buffer.alloc(4 + 8 * numEnvs); // 0: in the dtype of the action space
  for (let env = 0; env < numEnvs; env++) actions.writeBigInt64LE(BigInt(step % 5 > 0), 4 + 8 * env);
  console.log(JSON.stringify(await host.batch(STEP, actions, numEnvs)));
}
await host.ask(CLOSE, Buffer.alloc(0), CLOSED);
host.socket.end();
