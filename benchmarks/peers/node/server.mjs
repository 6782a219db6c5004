// The same as the other servers do, in Node's Socket.IO. BENCH_REDIS adds its Redis adapter, or with
// BENCH_LAYER=streams that of Redis Streams; RECOVERY in BENCH_REALTIME its recovery.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const options = {};
const { RECOVERY: recovery } = JSON.parse(process.env.BENCH_REALTIME ?? "{}");
if (recovery) {
  options.connectionStateRecovery = { maxDisconnectionDuration: recovery.SECONDS * 1000 };
}
if (process.env.BENCH_LAYER === "streams") {
  const client = createClient({ url: process.env.BENCH_REDIS });
  await client.connect();
  options.adapter = createStreamsAdapter(client);
} else if (process.env.BENCH_REDIS) {
  const publisher = createClient({ url: process.env.BENCH_REDIS });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  options.adapter = createAdapter(publisher, subscriber);
}

const http = createServer();
const io = new Server(http, options);

io.on("connection", (socket) => {
  socket.on("join", async (room, answer) => {
    await socket.join(room);
    answer();
  });
  socket.on("publish", (room, data) => io.to(room).emit("news", data));
  socket.on("echo", (data, answer) => answer(data));
});

http.listen(Number(process.argv[2]), "127.0.0.1");
