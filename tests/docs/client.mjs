/* The official client, for blocks of JavaScript: whatever host they name, it is the test's site. */
import { createRequire } from "node:module";

const official = createRequire(process.env.CLIENT_FOLDER)("socket.io-client");

export const sockets = [];

export function io(url = "/", options = {}) {
  const namespace = new URL(url, "http://any").pathname;
  const socket = official.io(process.env.SITE_URL + namespace, {
    ...options,
    reconnection: false,
    extraHeaders: { cookie: `sessionid=${process.env.SESSION}` },
  });
  sockets.push(socket);
  return socket;
}
