// The messages of the open chat: drawn once each, joined by day and sender, followed while the newest is looked at.

import { byId, element } from "/page/dom.js";
import { markTick, messageNode } from "/page/message.js";

const TOGETHER_S = 600; // messages of one person within this time stand together
const AT_END_PX = 60;
const MOST = 600; // more than this and the oldest leave the page, while nobody looks at them
const LEFT = 300;

/**
 * `page` is what messages can ask for (see message.js). `on` hears: older(before, downTo), a promise of
 * {messages, more}; changed(), after every change; moved(), when the person scrolls. Returns what the page does to the list.
 */
export function messageList(page, on) {
  const scroller = byId("scroller");
  const list = byId("messages");
  let messages = new Map(); // by id, in the order in which they stand
  const nodes = new Map(); // what shows them, by id; an album has one node for all of its messages
  let more = false;
  let asking = null;
  let following = true; // the person looks at the newest message, and goes on doing so

  const newest = () => [...messages.values()].at(-1);
  const album = (message) =>
    message.album ? [...messages.values()].filter((other) => other.album === message.album) : [message];
  const toEnd = () => scroller.scrollTo({ top: scroller.scrollHeight, behavior: "instant" });
  const dayOf = (seconds) => new Date(seconds * 1000).toDateString();

  function draw(message) {
    const members = album(message);
    const node = messageNode(members, page);
    for (const { id } of members) nodes.set(id, node);
    return node;
  }

  function redraw(id) {
    if (!messages.has(id)) return;
    const old = nodes.get(id);
    const focused = old.contains(document.activeElement);
    const node = draw(messages.get(id));
    node.classList.add(...["first", "last"].filter((name) => old.classList.contains(name)));
    node.tabIndex = old.tabIndex;
    old.replaceWith(node);
    if (focused) node.focus({ preventScroll: true });
  }

  function reachable() {
    for (const node of list.querySelectorAll(".message[tabindex='0']")) node.tabIndex = -1;
    if (list.lastElementChild) list.lastElementChild.tabIndex = 0;
  }

  /** Draw some messages, each album once. */
  function drawAll(some) {
    const drawn = new Set();
    const found = [];
    for (const message of some) {
      if (message.album && drawn.has(message.album)) continue;
      drawn.add(message.album);
      found.push(draw(message));
    }
    return found;
  }

  /** A message stands behind the one before it: on a new day, apart, or close together. */
  function place(message, before) {
    const node = nodes.get(message.id);
    if (before && nodes.get(before.id) === node) return;
    const newDay = !before || dayOf(before.date) !== dayOf(message.date);
    const service = Boolean(message.service || before?.service);
    const apart = newDay || service || before.user !== message.user || message.date - before.date > TOGETHER_S;
    if (newDay) node.before(element("li", { className: "day" }, page.dayName(message.date)));
    node.classList.toggle("first", apart);
    node.classList.add("last");
    if (!apart) nodes.get(before.id).classList.remove("last");
  }

  function arrange(some = messages.values(), before = undefined) {
    for (const message of some) {
      place(message, before);
      before = message;
    }
  }

  /** In place of those that are shown. */
  function fill(all, isMore) {
    messages = new Map(all.map((message) => [message.id, message]));
    nodes.clear();
    more = isMore;
    asking = null;
    list.replaceChildren(...drawAll(all));
    arrange();
    reachable();
    following = true;
    toEnd();
    on.changed();
  }

  function put(message) {
    const known = messages.has(message.id);
    const before = newest();
    if (!known && before && message.id < before.id) return null; // an older one that is not shown
    messages.set(message.id, message);
    const joins = message.album && before?.album === message.album;
    if (known || joins) redraw((joins ? before : message).id);
    else {
      const node = draw(message);
      node.classList.add("fresh");
      list.append(node);
      place(message, before);
      reachable();
    }
    if (!known && message.from === "user") following = true;
    if (following) trim(); // `steady` scrolls, once for all the messages that come between two paintings
    on.changed();
    return !known;
  }

  /** Let go of what is far above the newest. */
  function trim() {
    if (messages.size <= MOST) return;
    const kept = [...messages.values()].slice(-LEFT);
    while (kept.length > 1 && kept[0].album && kept[0].album === messages.get(kept[0].id - 1)?.album) kept.shift();
    fill(kept, true);
  }

  function remove(id) {
    const message = messages.get(id);
    if (!message) return;
    messages.delete(id);
    const node = nodes.get(id);
    nodes.delete(id);
    if (message.album && album(message).length) {
      const fresh = draw(message);
      node.replaceWith(fresh);
    } else node.remove();
    for (const day of list.querySelectorAll(".day")) day.remove();
    arrange();
    reachable();
    on.changed();
  }

  /** Put older messages above, without moving what the person looks at. */
  function prepend({ messages: older, more: left }) {
    more = left;
    if (!older.length) return;
    const [first] = messages.values();
    const height = scroller.scrollHeight;
    const split = first?.album && older.at(-1).album === first.album;
    messages = new Map([...older.map((message) => [message.id, message]), ...messages]);
    if (list.firstElementChild?.classList.contains("day")) list.firstElementChild.remove();
    if (split) nodes.get(first.id).remove();
    list.prepend(...drawAll(older));
    const behind = first && [...messages.values()].find((message) => message.id > older.at(-1).id && nodes.get(message.id) !== nodes.get(older.at(-1).id));
    arrange(behind ? [...older, behind] : older);
    scroller.scrollTop += scroller.scrollHeight - height;
    on.changed();
  }

  /** Ask for older messages once at a time, back to `downTo` where that is given. */
  async function older(downTo) {
    if (!more || asking || !messages.size) return asking;
    const [first] = messages.keys();
    const mine = (asking = on.older(first, downTo));
    try {
      const found = await mine;
      if (asking === mine) prepend(found);
    } catch {
      // the line was lost; the next greeting fills the list anew
    } finally {
      if (asking === mine) asking = null;
    }
    return undefined;
  }

  async function show(id) {
    following = false;
    if (!nodes.has(id)) await older(id);
    const node = nodes.get(id);
    if (!node) return false;
    following = false;
    const far = Math.abs(node.getBoundingClientRect().top) > 3 * innerHeight; // a long way is jumped, not travelled
    node.scrollIntoView({ block: "center", behavior: far ? "instant" : "smooth" });
    node.classList.remove("flash");
    requestAnimationFrame(() => node.classList.add("flash"));
    return true;
  }

  let lastTop = 0;
  scroller.addEventListener("scroll", () => {
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_END_PX;
    if (atEnd) following = true;
    else if (scroller.scrollTop < lastTop - 1) following = false; // not where the page itself has grown or shrunk
    lastTop = scroller.scrollTop;
    on.moved();
    if (scroller.scrollTop < 300) older();
  });
  const steady = new ResizeObserver(() => following && toEnd());
  steady.observe(list);
  steady.observe(scroller);

  list.addEventListener("keydown", (event) => {
    const node = event.target;
    if (!node.classList.contains("message")) return;
    const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
    if (!step) return;
    let next = node[step];
    while (next && !next.classList.contains("message")) next = next[step];
    if (!next) return;
    next.focus();
    event.preventDefault();
  });

  return {
    fill,
    put,
    remove,
    redraw,
    show,
    toEnd: () => scroller.scrollTo({ top: scroller.scrollHeight, behavior: "smooth" }),
    following: () => following,
    get: (id) => messages.get(id),
    size: () => messages.size,
    newest,
    lastOwn: () =>
      [...messages.values()].findLast((message) => message.from === "user" && message.text && !message.forwarded && !message.service),
    ticks(upTo) {
      for (const drawing of list.querySelectorAll(".ticks:not(.fetched)")) markTick(drawing, upTo);
    },
    /** The message that a node belongs to. */
    of: (node) => messages.get(Number(node.closest?.(".message")?.dataset.id)),
  };
}
