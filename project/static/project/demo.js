/** The demo page: every control sends one event, and everything that arrives goes to the log. */
"use strict";

const MAX_LINES = 300;
const COUNT_INTERVAL = 2000;
const ACK_TIMEOUT = 5000;
const HOME_ROOM = "Room №1";
const NUMBER_INTERVAL = 250;
const MAX_SERIES = 4;
const MY_SERIES = Math.random().toString(36).slice(2, 8);

const element = (id) => document.getElementById(id);
const rooms = new Set();
const sockets = new Map();
const series = new Map(); // of numbers, those last heard of at the end
let socket = null;
let counting = null; // what goes on until it is another one
let counted = Promise.resolve();
let lastTold = 0;

function show(value) {
  if (value instanceof ArrayBuffer) return `<bytes ${[...new Uint8Array(value)].join(" ")}>`;
  if (ArrayBuffer.isView(value)) return show(value.buffer);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Add a line to the log; `kind` is "in", "out" or "bad". */
function write(kind, name, ...values) {
  const log = element("log");
  const line = document.createElement("li");
  line.className = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  const label = document.createElement("b");
  label.textContent = name;
  label.title = name;
  const text = document.createElement("span");
  text.textContent = values.map(show).join("  ");
  line.append(time, label, text);
  log.append(line);
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

function showState() {
  const state = element("state");
  const engine = socket.io.engine;
  state.textContent = socket.connected ? "connected" : socket.active ? "connecting" : "disconnected";
  state.classList.toggle("connected", socket.connected);
  element("recovery").textContent = !socket.connected ? "–" : socket.recovered ? "recovered" : "new";
  element("sid").textContent = socket.id || "–";
  element("curl").textContent = socket.id ? `curl -X POST ${new URL(`client/${socket.id}`, document.baseURI)}` : "–";
  element("transport").textContent = socket.connected && engine ? engine.transport.name : "–";
}

/** Show the rooms; a click on one chooses it. */
function showRooms() {
  element("rooms").replaceChildren(...[...rooms].map((room) => {
    const item = document.createElement("li");
    const choose = document.createElement("button");
    choose.type = "button";
    choose.textContent = room;
    choose.addEventListener("click", () => { element("room").value = room; });
    item.append(choose);
    return item;
  }));
}

/** Take a number that a series is at, and note what has not come. */
function take(name, number) {
  const seen = series.get(name) || { first: number, last: number - 1, gaps: [], late: 0, twice: 0 };
  const gap = seen.gaps.findIndex(([from, to]) => from <= number && number <= to);
  if (number > seen.last) {
    if (number > seen.last + 1) seen.gaps.push([seen.last + 1, number - 1]);
    seen.last = number;
  } else if (gap >= 0) {
    const [from, to] = seen.gaps[gap];
    seen.gaps.splice(gap, 1, ...[[from, number - 1], [number + 1, to]].filter(([a, b]) => a <= b));
    seen.late += 1;
  } else {
    seen.twice += 1;
  }
  series.delete(name);
  series.set(name, seen);
  if (series.size > MAX_SERIES) series.delete(series.keys().next().value);
}

/** Show which numbers came, and what is wrong with them. */
function showNumbers() {
  const range = ([from, to]) => (from === to ? `${from}` : `${from} to ${to}`);
  element("numbers").replaceChildren(...[...series].reverse().map(([name, { first, last, gaps, late, twice }]) => {
    const faults = [];
    if (gaps.length) faults.push(`missing: ${gaps.map(range).join(", ")}`);
    if (late) faults.push(`${late} late`);
    if (twice) faults.push(`${twice} twice`);
    const item = document.createElement("li");
    item.classList.toggle("bad", faults.length > 0);
    const who = document.createElement("b");
    who.textContent = name === MY_SERIES ? "This page" : `Page ${name}`;
    const numbers = document.createElement("span");
    numbers.textContent = range([first, last]);
    const verdict = document.createElement("em");
    verdict.textContent = faults.join("; ") || "none missing";
    item.append(who, numbers, verdict);
    return item;
  }));
}

/**
 * Tell the room 1, 2, 3, ... until that is stopped, from a client of its own: it goes on while this
 * page's other connection is broken. What is not acknowledged is told again.
 */
async function tellNumbers(room, own) {
  const counter = io("/", { forceNew: true });
  while (counting === own) {
    try {
      const next = lastTold + 1;
      const refusal = await counter.timeout(ACK_TIMEOUT).emitWithAck("number", room, MY_SERIES, next);
      if (refusal) {
        write("bad", "number", refusal.error.message);
        stopCounting();
      } else {
        lastTold = next;
      }
    } catch { /* it was not acknowledged */ }
    await new Promise((resolve) => { setTimeout(resolve, NUMBER_INTERVAL); });
  }
  counter.disconnect();
}

function startCounting() {
  const room = element("room").value;
  const own = {};
  counting = own;
  counted = counted.then(() => tellNumbers(room, own));
  element("tell-numbers").textContent = "Stop counting";
}

function stopCounting() {
  counting = null;
  element("tell-numbers").textContent = "Count to the room";
}

/** Switch off what only the namespace "/" can do, while another one is chosen. */
function showAbilities() {
  for (const control of document.querySelectorAll("[data-home]")) control.disabled = socket.nsp !== "/";
}

async function showCount() {
  if (document.hidden) return;
  try {
    const response = await fetch("clients-count");
    element("count").textContent = (await response.json()).count;
  } catch {
    element("count").textContent = "–";
  }
}

/** Show which of the cluster's servers the connection is to. */
async function showServer(main) {
  const { process, address } = await main.timeout(ACK_TIMEOUT).emitWithAck("whereami");
  element("server").textContent = address.replace(/^.*:/, ":");
  element("server").title = `process ${process} at ${address}`;
}

/** Make a namespace's socket once, and listen to it. */
function open(namespace) {
  if (sockets.has(namespace)) return sockets.get(namespace);
  const opened = io(namespace);
  sockets.set(namespace, opened);
  opened.on("connect", () => {
    write("in", "connect", namespace, opened.id, opened.recovered ? "recovered" : "new");
    if (namespace === "/") {
      if (!opened.recovered) {
        // It starts with the room that the server puts everybody into.
        for (const room of rooms) if (room !== HOME_ROOM) opened.emit("join", room);
        rooms.add(HOME_ROOM);
        showRooms();
      }
      quietly(showServer(opened));
    }
    opened.io.engine.on("upgrade", showState);
    showState();
    showCount();
  });
  opened.on("disconnect", (reason) => {
    write("bad", "disconnect", namespace, reason);
    showState();
    showCount();
  });
  opened.on("connect_error", (error) => {
    write("bad", "refused", namespace, error.message);
    showState();
  });
  opened.on("message", (text) => console.log("message", text));
  opened.on("question", (text, answer) => answer("yes"));
  opened.on("number", (name, number) => {
    take(name, number);
    showNumbers();
  });
  opened.onAny((name, ...args) => {
    if (name === "number") return; // they have a place of their own
    write(name === "lost" ? "bad" : "in", name, ...args.filter((arg) => typeof arg !== "function"));
  });
  return opened;
}

/** Send an event and log its acknowledgement, or what is wrong. */
async function ask(name, ...args) {
  write("out", `→ ${name}`, ...args);
  try {
    const answer = await socket.timeout(ACK_TIMEOUT).emitWithAck(name, ...args);
    if (answer && answer.error) throw new Error(answer.error.message);
    return answer;
  } catch (error) {
    write("bad", name, error.message);
    throw error;
  }
}

const quietly = (promise) => promise.catch(() => {});

function onSubmit(id, handle) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    quietly(Promise.resolve(handle()));
  });
}

function onClick(id, handle) {
  element(id).addEventListener("click", () => quietly(Promise.resolve(handle())));
}

onSubmit("message-form", () => {
  const text = element("message").value;
  write("out", "→ message", text);
  socket.emit("message", text);
});

onClick("broadcast", () => ask("broadcast", element("message").value));

onSubmit("room-form", async () => {
  const room = element("room").value;
  await ask("join", room);
  rooms.add(room);
  showRooms();
});

onClick("leave", async () => {
  const room = element("room").value;
  await ask("leave", room);
  rooms.delete(room);
  showRooms();
});

onSubmit("say-form", () => ask("say", element("room").value, element("say-text").value));

onClick("tell-numbers", () => (counting ? stopCounting() : startCounting()));

onClick("break", () => {
  write("out", "→ break");
  socket.io.engine.close();
});

onSubmit("client-form", async () => {
  const response = await fetch(`client/${encodeURIComponent(element("client-id").value.trim())}`, { method: "POST" });
  element("client-answer").textContent = `${response.status}: ${(await response.json()).message}`;
});

onClick("echo", () => {
  const args = ["text", new Uint8Array([1, 2, 3])];
  write("out", "→ echo", ...args);
  socket.timeout(ACK_TIMEOUT).emit("echo", ...args, (error, ...echo) => {
    if (error) write("bad", "echo", error.message);
    else write("in", "echo", ...echo);
  });
});

onClick("ask", async () => write("in", "ask me", await ask("ask me")));

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(element(button.dataset.copies).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

onClick("clear", () => element("log").replaceChildren());

element("namespace").addEventListener("change", (event) => {
  socket = open(event.target.value);
  showState();
  showAbilities();
});

socket = open("/");
showState();
showCount();
setInterval(showCount, COUNT_INTERVAL);
document.addEventListener("visibilitychange", showCount);
