// The chat page: keeps the list of messages in step with what the simulator tells.

import { composer } from "/page/composer.js";
import { byId, copy, element } from "/page/dom.js";
import { connect } from "/page/live.js";
import { markTick, messageNode } from "/page/message.js";

const TYPING_MS = 5000;
const TOAST_MS = 3500;
const PRESS_MS = 30000;
const TOGETHER_S = 600; // messages of one person within this time stand together
const AT_END_PX = 60;

const scroller = byId("scroller");
const list = byId("messages");
const messages = new Map(); // by id, in the order in which they stand
const nodes = new Map(); // what shows them, by id
const pressed = new Map(); // presses without an answer: "message:data" -> callback_query_id, null until it is known

let bot = { name: "Greenlight", username: "" };
let skew = 0; // simulated clock minus this computer's, in seconds
let pinned = null;
let more = false;
let unread = 0;
let connected = false;
let acting = null;

// What messages can ask the page for

const page = {
  fetched: 0,
  busy: (message, button) => pressed.has(`${message.id}:${button.data}`),
  command: (text) => send(text).catch(failed),
  async copied(text) {
    toast((await copy(text)) ? "Copied to clipboard" : "The browser does not let this page copy");
  },
  enlarge(message) {
    const url = `/files/${message.photo.file_id}`;
    byId("viewer-image").src = url;
    byId("viewer-image").alt = message.text || "Photo";
    byId("viewer-save").href = url;
    byId("viewer-caption").textContent = message.text;
    byId("viewer").showModal();
  },
  show(id) {
    const node = nodeOf(id);
    if (!node) return;
    node.scrollIntoView({ block: "center", behavior: "smooth" });
    node.classList.remove("flash");
    requestAnimationFrame(() => node.classList.add("flash"));
  },
  async press(message, button) {
    const name = `${message.id}:${button.data}`;
    if (pressed.has(name)) return;
    pressed.set(name, null);
    redraw(message.id);
    try {
      pressed.set(name, (await ask({ type: "press", id: message.id, data: button.data })).callback_query_id);
      setTimeout(() => release(name), PRESS_MS);
    } catch (error) {
      release(name);
      failed(error);
    }
  },
};

function release(name) {
  if (pressed.delete(name)) redraw(Number(name.split(":", 1)[0]));
}

// The list

const nodeOf = (id) => nodes.get(id);
const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_END_PX;
const toEnd = () => scroller.scrollTo({ top: scroller.scrollHeight });
let following = true; // the person looks at the newest message, and goes on doing so
const dayOf = (seconds) => new Date(seconds * 1000).toDateString();

function draw(message) {
  const node = messageNode(message, page);
  nodes.set(message.id, node);
  return node;
}

function put(message) {
  const known = messages.has(message.id);
  const before = [...messages.values()].at(-1);
  messages.set(message.id, message);
  if (known) redraw(message.id);
  else {
    list.append(draw(message));
    nodeOf(message.id).classList.add("fresh");
    place(message, before);
  }
  if (following || (!known && message.from === "user")) toEnd();
  else if (!known) unread += 1;
  showEmpty();
  count();
}

function redraw(id) {
  if (!messages.has(id)) return;
  const old = nodeOf(id);
  const node = draw(messages.get(id));
  node.classList.add(...["first", "last"].filter((name) => old.classList.contains(name)));
  old.replaceWith(node);
}

/** Show whole lists of messages at once, in place of those that are shown. */
function fill(all) {
  messages.clear();
  nodes.clear();
  for (const message of all) messages.set(message.id, message);
  list.replaceChildren(...all.map(draw));
  arrange();
}

/** Days between messages of different dates, and which messages stand together. */
function arrange() {
  for (const day of list.querySelectorAll(".day")) day.remove();
  let before;
  for (const message of messages.values()) {
    place(message, before);
    before = message;
  }
  showEmpty();
}

/** A message stands behind the one before it: on a new day, apart, or close together. */
function place(message, before) {
  const node = nodeOf(message.id);
  const newDay = !before || dayOf(before.date) !== dayOf(message.date);
  const apart = newDay || before.from !== message.from || message.date - before.date > TOGETHER_S;
  if (newDay) node.before(element("li", { className: "day" }, dayName(message.date)));
  node.classList.toggle("first", apart);
  node.classList.add("last");
  if (!apart) nodeOf(before.id).classList.remove("last");
}

function showEmpty() {
  byId("empty").hidden = messages.size > 0;
  list.hidden = messages.size === 0;
  showComposer();
}

function dayName(seconds) {
  const now = Date.now() / 1000 + skew;
  if (dayOf(seconds) === dayOf(now)) return "Today";
  if (dayOf(seconds) === dayOf(now - 86400)) return "Yesterday";
  const at = new Date(seconds * 1000);
  const year = at.getFullYear() === new Date(now * 1000).getFullYear() ? undefined : "numeric";
  return at.toLocaleDateString("en", { month: "long", day: "numeric", year });
}

/** Put older messages above, without moving what the person looks at. */
function prepend({ messages: older, more: left }) {
  const height = scroller.scrollHeight;
  fill([...older, ...messages.values()]);
  scroller.scrollTop += scroller.scrollHeight - height;
  more = left;
}

function count() {
  if (following && !document.hidden) unread = 0;
  byId("unread").textContent = unread;
  byId("unread").hidden = unread === 0;
  byId("down").hidden = following;
  document.title = `${unread ? `(${unread}) ` : ""}${bot.name} · SIMULATED`;
}

function showPinned() {
  const message = messages.get(pinned);
  byId("pinned").hidden = !message;
  byId("pinned-text").textContent = message ? message.text.split("\n", 1)[0] || "Photo" : "";
}

// What floats above

let toastTimer;
function toast(text) {
  const node = byId("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (node.hidden = true), TOAST_MS);
}

function failed(error) {
  toast(error.message);
}

function alertBox(text) {
  byId("alert-title").textContent = bot.name;
  byId("alert-text").textContent = text;
  byId("alert").showModal();
}

const DOING = { upload_photo: "sending photo", upload_document: "sending file", typing: "typing" };

function showStatus() {
  const status = byId("status");
  status.textContent = !connected ? "connecting" : acting ? (DOING[acting] ?? "typing") : "bot";
  status.classList.toggle("live", !connected || Boolean(acting));
}

let actingTimer;
function act(action) {
  acting = action;
  clearTimeout(actingTimer);
  if (action) actingTimer = setTimeout(() => act(null), TYPING_MS);
  showStatus();
}

let blocked = false;
function showComposer() {
  const begin = blocked || messages.size === 0;
  byId("start").hidden = !begin;
  byId("start").textContent = blocked ? "Restart" : "Start";
  byId("composer").hidden = begin;
}

// What the simulator tells

const ask = connect({
  state(yes) {
    connected = yes;
    write.connected(yes);
    showStatus();
  },
  moved() {
    byId("moved").hidden = false;
  },
  hello(frame) {
    ({ bot, pinned, blocked, more } = frame);
    skew = frame.now - Date.now() / 1000;
    page.fetched = frame.fetched;
    pressed.clear();
    fill(frame.messages);
    byId("bot-name").textContent = bot.name;
    write.commands(frame.commands);
    showPinned();
    if (following) toEnd();
    count();
  },
  message({ message }) {
    if (message.from === "bot" && !messages.has(message.id)) act(null);
    put(message);
    showPinned();
  },
  deleted({ id }) {
    messages.delete(id);
    nodeOf(id)?.remove();
    nodes.delete(id);
    arrange();
    showPinned();
    count();
  },
  fetched({ up_to }) {
    page.fetched = up_to;
    for (const drawing of list.querySelectorAll(".ticks:not(.fetched)")) markTick(drawing, up_to);
  },
  answer({ callback_query_id, text, show_alert, url }) {
    const name = [...pressed].find(([, id]) => id === callback_query_id)?.[0];
    if (name === undefined) return; // somebody else's press
    release(name);
    if (text && show_alert) alertBox(text);
    else if (text) toast(text);
    if (url) toast(url);
  },
  action: ({ action }) => act(action),
  commands: ({ commands }) => write.commands(commands),
  pinned({ id }) {
    pinned = id;
    showPinned();
  },
  blocked(frame) {
    blocked = frame.blocked;
    showComposer();
  },
  error: ({ text }) => toast(text),
});

const send = (text) => ask({ type: "send", text });

const write = composer({
  send,
  edit: (id, text) => ask({ type: "edit", id, text }),
  failed,
  lastOwn: () => [...messages.values()].findLast((message) => message.from === "user"),
});

// What the person does elsewhere on the page

byId("start").onclick = async () => {
  if (blocked) await ask({ type: "block", blocked: false }).catch(failed);
  await send("/start").catch(failed);
  write.focus();
};
byId("down").onclick = () => scroller.scrollTo({ top: scroller.scrollHeight, behavior: "smooth" });
byId("pinned").onclick = () => page.show(pinned);
byId("viewer-close").onclick = () => byId("viewer").close();
byId("viewer-image").onclick = () => byId("viewer").close();
document.addEventListener("visibilitychange", count);
scroller.addEventListener("scroll", () => {
  following = atEnd();
  count();
  const [first] = messages.keys();
  if (scroller.scrollTop < 200 && more && connected) {
    more = false; // asked for; the answer says whether there is still more
    ask({ type: "older", before: first }).then(prepend).catch(failed);
  }
});
const steady = new ResizeObserver(() => following && toEnd());
steady.observe(list);
steady.observe(scroller);

// Light and dark: the system's choice until the person makes one

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function look() {
  root.dataset.look = root.dataset.theme ?? (dark.matches ? "dark" : "light");
}

const kept = localStorage.getItem("theme");
if (kept) root.dataset.theme = kept;
dark.addEventListener("change", look);
look();
byId("theme").onclick = () => {
  root.dataset.theme = root.dataset.look === "dark" ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  look();
};
showStatus();
