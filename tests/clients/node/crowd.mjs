/*
 * Many official clients with default options: node crowd.mjs URL NAMESPACE CLIENTS EVENTS AUTH
 *
 * Each emits "tally" with numbers from 0 to EVENTS, and "echo" of each for its answer; it answers
 * each "question" with "me". What happens is said in lines of JSON on stdout:
 *
 *   {"connected": 30}                          all are connected
 *   {"upgraded": [123, ...]}                   all are on WebSockets, or stay on polling (`left` says
 *                                              why), after so many milliseconds each
 *   {"emitted": 30}                            all have got all answers
 *   {"clients": [{sids, transport, ...}]}      what each has seen, for each line on stdin: of each
 *                                              "n", by its first argument, all second ones
 *                                              (`numbers`), and how often "end" came (`ends`)
 */
import { createInterface } from "node:readline";
import { Manager } from "socket.io-client";

const [url, namespace, count, events, auth] = process.argv.slice(2);
const clients = [];
const upgraded = [];
const reached = { connected: 0, emitted: 0 };

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

function reach(what) {
  reached[what] += 1;
  if (reached[what] === Number(count)) say({ [what]: reached[what] });
}

function emit(socket, client, number) {
  if (number === Number(events)) {
    const check = () => (client.answers.length === number ? reach("emitted") : setTimeout(check, 20));
    check();
    return;
  }
  socket.emit("tally", number);
  socket.emit("echo", number, (answer) => client.answers.push(answer));
  setTimeout(emit, 5, socket, client, number + 1);
}

function open() {
  const started = Date.now();
  const manager = new Manager(url, { autoConnect: true });
  const socket = manager.socket(namespace, { auth: JSON.parse(auth) });
  const client = { numbers: {}, answers: [], left: [], socket, manager };
  clients.push(client);
  const note = () => {
    upgraded.push(Date.now() - started);
    if (upgraded.length === Number(count)) say({ upgraded });
  };
  manager.once("open", () => {
    manager.engine.once("upgrade", note);
    manager.engine.once("upgradeError", (error) => {
      client.left.push(`upgrade: ${error.message}`);
      note();
    });
  });
  manager.on("close", (reason) => client.left.push(reason));
  socket.on("connect", () => {
    client.sids = [...(client.sids ?? []), socket.id];
    reach("connected");
    emit(socket, client, 0);
  });
  socket.on("connect_error", ({ message }) => client.left.push(message));
  socket.on("n", (place, number) => (client.numbers[place] ??= []).push(number));
  socket.on("end", () => (client.ends = (client.ends ?? 0) + 1));
  socket.on("question", (...args) => args.pop()("me"));
}

async function describe({ numbers, answers, left, sids, ends, manager, socket }) {
  const tally = await new Promise((tell) => socket.emit("get tally", (...args) => tell(args)));
  return { sids, transport: manager.engine.transport.name, numbers, answers, left, ends, tally };
}

for (let number = 0; number < Number(count); number++) open();
createInterface({ input: process.stdin })
  .on("line", async () => say({ clients: await Promise.all(clients.map(describe)) }))
  .on("close", () => process.exit(0));
