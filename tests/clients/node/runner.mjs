/*
 * Drives the official client. Each line on stdin is one step (JSON); each line on stdout is what
 * happened (JSON). Bytes travel as {"$bytes": "<base64>"}.
 *
 *   {"do": "open", "manager": "m", "url": ..., "options": {...}}      a connection to be
 *   {"do": "close", "manager": "m"}                                   its end
 *   {"do": "connect", "manager": "m", "namespace": "/", "auth": ...}  a socket on it,
 *                                                                     with "options", if any
 *   {"do": "break", "manager": "m"}                                   its end with no goodbye to
 *                                                                     the namespaces
 *   {"do": "transports", "manager": "m", "transports": [...]}         what it tries next time
 *   {"do": "auth", ..., "auth": ...}                                  what its next CONNECT says
 *   {"do": "session", ...}                                            what recovery goes by
 *   {"do": "disconnect", ...}                                         the socket's end
 *   {"do": "reconnect", ...}                                          its start again
 *   {"do": "toggle", ..., "times": 2}                                 its end and its start again
 *   {"do": "emit", ..., "args": ["event", ...]}
 *   {"do": "call", ..., "args": [...], "id": 1, "timeout": 1000}      emit with a callback
 *   {"do": "emitWithAck", ..., the same}                              emit with a promise
 *   {"do": "retry", ..., the same but timeout}                        for a socket with "retries"
 *   {"do": "drop", "manager": "m"}                                    the engine's end
 *   {"do": "answer", ..., "event": "question", "args": [...]}         what to acknowledge it with
 */
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Its CommonJS build: hundreds of runners start, and that loads in a fifth of the time.
const { Manager } = createRequire(import.meta.url)("socket.io-client");

const managers = new Map();
const sockets = new Map();
const answers = new Map();

function say(line) {
  process.stdout.write(JSON.stringify(toJSON(line)) + "\n");
}

function toJSON(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { $bytes: Buffer.from(value).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(toJSON);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJSON(item)]));
}

function fromJSON(key, value) {
  return value && typeof value.$bytes === "string" ? Buffer.from(value.$bytes, "base64") : value;
}

const keyOf = ({ manager, namespace }) => `${manager} ${namespace}`;
const socketOf = (step) => sockets.get(keyOf(step));

const steps = {
  open({ manager: name, url, options }) {
    const manager = new Manager(url, options);
    managers.set(name, manager);
    const tell = (happened, more) => say({ manager: name, happened, ...more });
    manager.on("open", () => {
      tell("open", { transport: manager.engine.transport.name });
      manager.engine.on("upgrade", ({ name: transport }) => tell("upgrade", { transport }));
    });
    manager.on("error", (error) => tell("error", { message: error.message }));
    manager.on("close", (reason) => tell("close", { reason }));
    manager.on("reconnect", (attempt) => tell("reconnect", { attempt }));
  },

  close({ manager }) {
    managers.get(manager)._close();
  },

  connect(step) {
    const { manager, namespace, auth, options } = step;
    const socket = managers.get(manager).socket(namespace, { auth, ...options });
    sockets.set(keyOf(step), socket);
    const tell = (happened, more) => say({ manager, namespace, happened, ...more });
    socket.on("connect", () => tell("connect", { sid: socket.id, recovered: socket.recovered }));
    socket.on("connect_error", ({ message, data }) => tell("connect_error", { message, data }));
    socket.on("disconnect", (reason) => tell("disconnect", { reason }));
    socket.onAny((event, ...args) => {
      const acknowledge = typeof args.at(-1) === "function" ? args.pop() : null;
      tell("event", { event, args });
      const answer = answers.get(`${keyOf(step)} ${event}`);
      if (acknowledge && answer) acknowledge(...answer);
    });
  },

  break({ manager }) {
    managers.get(manager).engine.close();
  },

  transports({ manager, transports }) {
    managers.get(manager).opts.transports = transports;
  },

  auth(step) {
    socketOf(step).auth = step.auth;
  },

  session(step) {
    const { _pid: pid, _lastOffset: offset } = socketOf(step);
    say({ manager: step.manager, namespace: step.namespace, happened: "session", pid, offset });
  },

  disconnect(step) {
    socketOf(step).disconnect();
  },

  reconnect(step) {
    socketOf(step).connect();
  },

  toggle(step) {
    for (let count = 0; count < step.times; count++) socketOf(step).disconnect().connect();
  },

  emit(step) {
    socketOf(step).emit(...step.args);
  },

  call(step) {
    const { id, timeout, args } = step;
    socketOf(step)
      .timeout(timeout)
      .emit(...args, (error, ...answer) => say({ happened: "ack", id, error: error?.message, answer }));
  },

  retry(step) {
    const { id, args } = step;
    socketOf(step).emit(...args, (error, ...answer) =>
      say({ happened: "ack", id, error: error?.message, answer }),
    );
  },

  drop({ manager }) {
    managers.get(manager).engine.close();
  },

  async emitWithAck(step) {
    const { id, timeout, args } = step;
    try {
      const answer = await socketOf(step).timeout(timeout).emitWithAck(...args);
      say({ happened: "ack", id, answer: [answer] });
    } catch (error) {
      say({ happened: "ack", id, error: error.message });
    }
  },

  answer(step) {
    answers.set(`${keyOf(step)} ${step.event}`, step.args);
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const step = JSON.parse(line, fromJSON);
  steps[step.do](step);
});
lines.on("close", () => process.exit(0));
