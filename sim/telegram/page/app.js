// The chat page: keeps what is shown in step with what the simulator tells, and tells it what the person does.

import { messageActions } from "/page/actions.js";
import { attachments } from "/page/attach.js";
import { composer } from "/page/composer.js";
import { byId, copy, element } from "/page/dom.js";
import { alertBox, failed, popup, sheet, toast } from "/page/floats.js";
import { replyKeyboard } from "/page/keys.js";
import { messageList } from "/page/list.js";
import { connect } from "/page/live.js";
import { enlarge } from "/page/media.js";
import { colour, face, side } from "/page/side.js";
import "/page/theme.js";
import { openApp, theme } from "/page/webapp.js";

const ACTING_MS = 5000;
const PRESS_MS = 30000;

const pressed = new Map(); // presses without an answer: "message:data" -> callback_query_id, null until it is known
const drafts = new Map(); // what was begun, by "person:chat"
let me = { id: null, name: "" };
let bot = { id: null, name: "Greenlight", username: "" };
let chat = null; // the open one
let skew = 0; // simulated clock minus this computer's, in seconds
let pinned = null;
let blocked = false;
let unread = 0;
let connected = false;
let acting = null;
let reactions = [];

// What messages can ask the page for

const page = {
  fetched: 0,
  colour,
  enlarge,
  note: toast,
  group: () => chat !== me.id,
  busy: (message, button) => pressed.has(`${message.id}:${button.data}`),
  command: (text) => send(text).catch(failed),
  async copied(text) {
    toast((await copy(text)) ? "Copied to clipboard" : "The browser does not let this page copy");
  },
  async show(id) {
    if (!(await list.show(id))) toast("This message is not there any more");
  },
  react: (message, emoji) => ask({ type: "react", id: message.id, emoji }).catch(failed),
  vote: (message, options) => ask({ type: "vote", id: message.id, options }).catch(failed),
  app: (message, button) => launch("button", button.text, { id: message.id }),
  async press(message, button) {
    const name = `${message.id}:${button.data}`;
    if (pressed.has(name)) return;
    pressed.set(name, null);
    list.redraw(message.id);
    try {
      pressed.set(name, (await ask({ type: "press", id: message.id, data: button.data })).callback_query_id);
      setTimeout(() => release(name), PRESS_MS);
    } catch (error) {
      release(name);
      failed(error);
    }
  },
  dayName(seconds) {
    const dayOf = (moment) => new Date(moment * 1000).toDateString();
    const now = Date.now() / 1000 + skew;
    if (dayOf(seconds) === dayOf(now)) return "Today";
    if (dayOf(seconds) === dayOf(now - 86400)) return "Yesterday";
    const at = new Date(seconds * 1000);
    const year = at.getFullYear() === new Date(now * 1000).getFullYear() ? undefined : "numeric";
    return at.toLocaleDateString("en", { month: "long", day: "numeric", year });
  },
};

function release(name) {
  if (pressed.delete(name)) list.redraw(Number(name.split(":", 1)[0]));
}

const list = messageList(page, {
  older: (before, downTo) => ask({ type: "older", before, down_to: downTo }),
  changed() {
    byId("empty").hidden = list.size() > 0 || page.group();
    byId("messages").hidden = list.size() === 0;
    showComposer();
    count();
  },
  moved: () => count(),
});

function count() {
  if (list.following() && !document.hidden) {
    if (unread) seen();
    unread = 0;
  }
  byId("unread").textContent = unread;
  byId("unread").hidden = unread === 0;
  byId("down").hidden = list.following();
  document.title = `${unread ? `(${unread}) ` : ""}${page.group() ? (sides.entry()?.title ?? "") : bot.name} · SIMULATED`;
}

/** The newest message of the open chat has been looked at. */
function seen() {
  const last = list.newest();
  if (last && connected) ask({ type: "read", up_to: last.id }).catch(() => {});
  sides.said(chat, null, () => 0);
}

function showPinned() {
  byId("pinned").hidden = !pinned;
  byId("pinned-text").textContent = pinned ? pinned.text.split("\n", 1)[0] || (pinned.poll?.question ?? "Photo") : "";
}

const DOING = { upload_photo: "sending photo", upload_document: "sending file", typing: "typing", choose_sticker: "choosing a sticker", record_voice: "recording", find_location: "looking for a place" };

function showStatus() {
  const status = byId("status");
  const members = sides.entry()?.members.length ?? 0;
  const idle = page.group() ? (members === 1 ? "1 member" : `${members} members`) : "bot";
  const who = page.group() ? `${bot.name} is ` : "";
  status.textContent = !connected ? "connecting" : acting ? `${who}${DOING[acting] ?? "typing"}` : idle;
  status.classList.toggle("live", !connected || Boolean(acting));
}

let actingTimer;
function act(action) {
  acting = action;
  clearTimeout(actingTimer);
  if (action) actingTimer = setTimeout(() => act(null), ACTING_MS);
  showStatus();
}

function showComposer() {
  const begin = !page.group() && (blocked || list.size() === 0);
  byId("start").hidden = !begin;
  byId("start").textContent = blocked ? "Restart" : "Start";
  byId("composer").hidden = begin;
}

function showHead() {
  const entry = sides.entry();
  byId("bot-name").textContent = page.group() ? (entry?.title ?? "") : bot.name;
  face(byId("chat-face"), chat, entry?.title ?? bot.name, !page.group());
  showStatus();
}

/** Show a chat from a greeting, or because it was opened. */
function show(frame) {
  ({ chat, pinned, blocked } = frame);
  act(null);
  unread = 0;
  pressed.clear();
  sides.show({ chat });
  showHead();
  list.fill(frame.messages, frame.more);
  write.begin(drafts.get(`${me.id}:${chat}`) ?? "");
  write.commands(frame.commands, frame.menu);
  keys.show(frame.keyboard);
  showPinned();
  count();
  if (sides.entry()?.unread && !document.hidden) seen();
  localStorage.setItem("at", JSON.stringify({ user: me.id, chat }));
}

// What the simulator tells

function where() {
  try {
    const { user, chat: at } = JSON.parse(localStorage.getItem("at") ?? "{}");
    return user ? `?${new URLSearchParams({ user, chat: at })}` : "";
  } catch {
    return "";
  }
}

const ask = connect(
  {
    state(yes) {
      connected = yes;
      write.connected(yes);
      showStatus();
    },
    moved() {
      byId("moved").hidden = false;
    },
    hello,
    message({ chat: at, message, last }) {
      if (at !== chat) {
        const fresh = last && message.from !== "user" && isNew(at, last);
        return sides.said(at, last, (before) => before + (fresh ? 1 : 0));
      }
      const added = list.put(message);
      if (added && message.from === "bot") act(null);
      if (added && message.from !== "user") {
        unread += 1;
        count();
      }
      sides.said(at, last, (before) => (unread ? before + (added ? 1 : 0) : 0));
      if (pinned?.id === message.id) pinned = message;
      return showPinned();
    },
    deleted({ chat: at, id }) {
      if (at === chat) list.remove(id);
    },
    fetched({ up_to }) {
      page.fetched = up_to;
      list.ticks(up_to);
    },
    answer({ callback_query_id, text, show_alert, url }) {
      const name = [...pressed].find(([, id]) => id === callback_query_id)?.[0];
      if (name === undefined) return; // somebody else's press
      release(name);
      if (text && show_alert) alertBox(bot.name, text);
      else if (text) toast(text);
      if (url) toast(url);
    },
    action: ({ chat: at, action }) => at === chat && act(action),
    commands: ({ commands, menu }) => write.commands(commands, menu),
    keyboard: ({ chat: at, keyboard }) => at === chat && keys.show(keyboard),
    pinned({ chat: at, message }) {
      if (at === chat) pinned = message;
      showPinned();
    },
    people({ people, chats }) {
      sides.show({ people, chats });
      if (chats.some(({ id }) => id === chat)) showHead();
      else open(me.id).catch(failed); // no longer in this group
    },
    blocked(frame) {
      blocked = frame.blocked;
      showComposer();
    },
    error: ({ text }) => toast(text),
  },
  where,
);

const isNew = (at, last) => last.id > (newestOf.get(at) ?? 0) && newestOf.set(at, last.id);
const newestOf = new Map();

function hello(frame) {
  keepDraft();
  ({ bot, reactions } = frame);
  me = frame.user;
  skew = frame.now - Date.now() / 1000;
  page.fetched = frame.fetched;
  newestOf.clear();
  for (const { id, last } of frame.chats) newestOf.set(id, last?.id ?? 0);
  sides.show({ people: frame.people, chats: frame.chats, user: me, owner: frame.owner, bot, skew, chat: frame.chat });
  show(frame);
}

function keepDraft() {
  if (chat !== null) drafts.set(`${me.id}:${chat}`, write.draft());
}

// What the person does

const send = (text, replyTo) => ask({ type: "send", text, reply_to: replyTo });

async function open(id) {
  if (id === chat) return;
  keepDraft();
  const frame = await ask({ type: "open", chat: id });
  newestOf.set(id, frame.messages.at(-1)?.id ?? 0);
  show(frame);
  write.focus();
}

async function be(user, at) {
  if (user === me.id) return;
  hello(await ask({ type: "be", user, chat: at }));
}

const sides = side({
  be,
  open,
  async person(name) {
    const { id } = await ask({ type: "person", name });
    await be(id);
  },
  async group(title, members) {
    const { id } = await ask({ type: "group", title, members });
    await open(id);
  },
  member: (user, place) => ask({ type: "member", user, place }),
});

const write = composer({
  send,
  edit: (id, text) => ask({ type: "edit", id, text }),
  failed,
  lastOwn: () => list.lastOwn(),
  app: () => launch("menu", byId("menu-text").textContent),
});

const keys = replyKeyboard({
  text: (text) => send(text).catch(failed),
  app: (button) => launch("keyboard", button.text),
  note: toast,
  replyTo: (id) => list.get(id) && write.reply(list.get(id)),
});

/** Open the web app of a button, of the menu button or of the bot's keyboard. */
async function launch(source, text, more = {}) {
  try {
    const { url, address } = await ask({ type: "app", source, text, theme: theme(), ...more });
    const data = source === "keyboard" ? (sent) => ask({ type: "app_data", data: sent, text }).catch(failed) : null;
    openApp({ url, address, title: bot.name, data });
  } catch (error) {
    failed(error);
  }
}

attachments(
  () => ({ user: me.id, chat, reply_to: write.takeReply() }),
  () => connected && !byId("composer").hidden,
);

messageActions(
  {
    reply: write.reply,
    edit: write.edit,
    copy: (message) => page.copied(message.text),
    react: page.react,
    retract: (message) => page.vote(message, []),
    remove: (message) => ask({ type: "delete", id: message.id }).catch(failed),
    forward(message) {
      const pick = sides.chats().map(({ id, title }, index) => element("label", { className: "check" }, element("input", { type: "radio", name: "to", value: String(id), checked: index === 0 }), title));
      sheet({
        title: "Forward to",
        body: pick,
        ok: "Forward",
        act: () => ask({ type: "forward", id: message.id, to: Number(pick.map((label) => label.querySelector("input")).find((radio) => radio.checked).value) }).then(() => toast("Forwarded")),
      });
    },
  },
  list.of,
  () => reactions,
);

byId("more").onclick = ({ currentTarget }) => {
  const { right, bottom } = currentTarget.getBoundingClientRect();
  const items = page.group()
    ? [{ text: "Members", act: sides.members }, { text: "Leave the group", danger: true, act: () => ask({ type: "member", user: me.id, place: "left" }).catch(failed) }]
    : [blocked ? { text: "Unblock the bot", act: () => ask({ type: "block", blocked: false }).catch(failed) } : { text: "Block the bot", danger: true, act: () => ask({ type: "block", blocked: true }).catch(failed) }];
  popup(right - 220, bottom + 4, items);
};

byId("start").onclick = async () => {
  if (blocked) await ask({ type: "block", blocked: false }).catch(failed);
  await send("/start").catch(failed);
  write.focus();
};
byId("down").onclick = () => list.toEnd();
byId("pinned").onclick = () => pinned && page.show(pinned.id);
document.addEventListener("visibilitychange", count);
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, dialog, [popover], .message");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1 || event.key === " ") return;
  if (!byId("composer").hidden && event.target === document.body) write.focus(); // just begin to write
});
showStatus();
