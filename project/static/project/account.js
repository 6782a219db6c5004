/** The namespace "/account": who has logged in, and the room for staff. It follows demo.js. */
"use strict";

const STAFF_ROOM = "staff";
const account = open("/account");
let inStaffRoom = false;
let unauthorized = false; // whether the server has said so

/** Show who this is, and whether in the staff's room. */
function showAccount({ user, staff }) {
  const shown = element("account");
  shown.textContent = staff ? `${user}, staff` : user;
  shown.classList.add("connected");
  element("gone").hidden = true;
  showStaffRoom();
}

function showStaffRoom() {
  element("staff-room").textContent = inStaffRoom ? "In the staff's room." : "Not in the staff's room.";
  for (const control of document.querySelectorAll("[data-account]")) control.disabled = !account.connected;
}

/** Show that the server has let nobody in, or let go who was in. */
function showGone(text) {
  inStaffRoom = false;
  const shown = element("account");
  shown.textContent = text;
  shown.classList.remove("connected");
  showStaffRoom();
}

/** Send an event of this namespace and log its acknowledgement, or what is wrong. */
async function askAccount(name, ...args) {
  write("out", `→ ${name}`, ...args);
  const answer = await account.timeout(ACK_TIMEOUT).emitWithAck(name, ...args).catch((error) => ({ error }));
  if (answer && answer.error) {
    write("bad", name, answer.error.message);
    throw new Error(answer.error.message);
  }
  if (answer != null) write("in", name, answer);
  return answer;
}

async function joinStaffRoom() {
  await askAccount("join", STAFF_ROOM);
  inStaffRoom = true;
  showStaffRoom();
}

account.on("connect", async () => {
  if (!account.recovered && inStaffRoom) {
    inStaffRoom = false;
    quietly(joinStaffRoom());
  }
  quietly(askAccount("whoami").then(showAccount));
});

account.on("changed", ({ rooms: left, ...who }) => {
  inStaffRoom = left.includes(STAFF_ROOM);
  showAccount(who);
});

account.on("unauthorized", () => { unauthorized = true; });

account.on("disconnect", (reason) => {
  element("gone").hidden = !unauthorized;
  // What the server has ended stays ended; after anything else the client comes back by itself.
  if (reason === "io server disconnect") showGone(unauthorized ? "let go" : "disconnected");
  else element("account").classList.remove("connected");
  showStaffRoom();
});

account.on("connect_error", (error) => {
  if (account.active) return; // it goes on to try
  element("gone").hidden = false;
  showGone(`refused: ${error.message}`);
});

onClick("whoami", async () => showAccount(await askAccount("whoami")));

onClick("join-staff", joinStaffRoom);

onClick("leave-staff", async () => {
  await askAccount("leave", STAFF_ROOM);
  inStaffRoom = false;
  showStaffRoom();
});

onSubmit("tell-form", () => askAccount("tell", element("tell-text").value));

showStaffRoom();
