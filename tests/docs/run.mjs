/*
 * Runs one block of JavaScript: `node run.mjs block.mjs`, in a folder whose socket.io-client is
 * client.mjs. What the block opened has to be connected in the end.
 */
import { File } from "node:buffer";
import { pathToFileURL } from "node:url";
import { sockets } from "socket.io-client";

globalThis.File ??= File; // as browsers have it, and Node from version 20 on
await import(pathToFileURL(process.argv[2]));
for (const socket of sockets) {
  if (!socket.connected) {
    await new Promise((resolve, reject) => {
      socket.on("connect", resolve);
      socket.on("connect_error", reject);
    });
  }
  socket.disconnect();
}
if (sockets.length === 0) throw new Error("the block opened no socket");
