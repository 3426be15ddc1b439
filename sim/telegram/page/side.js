// The left side: who is played here, and that person's chats. A drawer on a narrow screen.

import { byId, element, icon } from "/page/dom.js";
import { closeSheet, failed, sheet } from "/page/floats.js";
import { clock } from "/page/message.js";

export const colour = (id) => Math.abs(id) % 7;

/** A round face: the first letters of a name in the person's colour; the bot has its picture. */
export function face(node, id, name, bot) {
  node.className = `face tint-${colour(id)}`;
  const letters = name.split(/\s+/, 2).map((word) => [...word][0] ?? "").join("").toUpperCase();
  node.replaceChildren(bot ? element("img", { src: "/page/icon.svg", alt: "", width: 42, height: 42 }) : letters);
  return node;
}

/** `on` hears be(user), open(chat), person(name), group(title, members) and member(user, place); all but open are promises. */
export function side(on) {
  const [panel, veil, drawer, me, people, chats] = ["side", "veil", "drawer", "me", "people", "chats"].map(byId);
  const narrow = matchMedia("(max-width: 859px)");
  let state = { people: [], chats: [], user: null, bot: null, owner: null, chat: null };

  function slide(open) {
    panel.classList.toggle("open", open);
    veil.hidden = !open;
    drawer.setAttribute("aria-expanded", String(open));
    panel.inert = narrow.matches && !open;
    if (open) me.focus();
    else if (narrow.matches && panel.contains(document.activeElement)) drawer.focus();
  }

  function showPeople(open) {
    people.hidden = !open;
    me.setAttribute("aria-expanded", String(open));
  }

  function drawPeople() {
    face(byId("me-face"), state.user.id, state.user.name, false);
    byId("me-name").textContent = state.user.name;
    me.setAttribute("aria-label", `You act as ${state.user.name}. Act as somebody else`);
    people.replaceChildren(
      ...state.people.map(({ id, name }) =>
        element(
          "button",
          { type: "button", className: "person", "aria-pressed": String(id === state.user.id), onclick: () => choose(() => on.be(id)) },
          face(element("span"), id, name, false),
          element("span", {}, name, id === state.owner ? element("span", { className: "note" }, "owner") : null),
        ),
      ),
      element(
        "button",
        { type: "button", className: "person add", onclick: addPerson },
        element("span", { className: "face plus" }, icon("M12 5v14M5 12h14")),
        "Add a person",
      ),
    );
  }

  async function choose(act) {
    showPeople(false);
    await Promise.resolve(act()).catch(failed);
    if (narrow.matches) slide(false);
  }

  function drawChats() {
    chats.replaceChildren(
      ...state.chats.map(({ id, title, group, last, unread }) =>
        element(
          "button",
          { type: "button", className: "chat-row", "aria-current": id === state.chat ? "true" : undefined, onclick: () => choose(() => on.open(id)) },
          face(element("span"), id, title, !group),
          element(
            "span",
            { className: "chat-words" },
            element("span", { className: "chat-top" }, element("b", {}, title), element("time", {}, last ? when(last.date) : "")),
            element(
              "span",
              { className: "chat-bottom" },
              element("span", { className: "preview" }, last?.who ? element("b", {}, `${last.who}: `) : null, last?.text ?? (group ? "No messages yet" : "Press Start")),
              unread ? element("span", { className: "unread-pill", "aria-label": `${unread} unread` }, String(unread)) : null,
            ),
          ),
        ),
      ),
    );
    byId("elsewhere").hidden = !state.chats.some(({ id, unread }) => unread && id !== state.chat);
  }

  function when(seconds) {
    const at = new Date(seconds * 1000);
    return at.toDateString() === new Date(Date.now() + state.skew * 1000).toDateString() ? clock(seconds) : at.toLocaleDateString("en", { month: "short", day: "numeric" });
  }

  function addPerson() {
    const name = element("input", { type: "text", maxLength: 64, placeholder: "Name", "aria-label": "Name", autocomplete: "off" });
    sheet({
      title: "Add a person",
      body: [element("p", {}, "Somebody else with a chat of their own with the bot."), name],
      ok: "Add",
      act: async () => {
        await on.person(name.value);
        showPeople(false);
        if (narrow.matches) slide(false);
      },
    });
  }

  function others() {
    return [{ id: state.bot.id, name: state.bot.name, bot: true }, ...state.people.filter(({ id }) => id !== state.user.id)];
  }

  byId("new-group").onclick = () => {
    const title = element("input", { type: "text", maxLength: 128, placeholder: "Title of the group", "aria-label": "Title of the group", autocomplete: "off" });
    const boxes = others().map(({ id, name, bot }) => element("label", { className: "check" }, element("input", { type: "checkbox", value: String(id), checked: Boolean(bot) }), face(element("span"), id, name, bot), name));
    sheet({
      title: "New group",
      body: [title, ...boxes],
      ok: "Create",
      act: async () => {
        const chosen = boxes.map((box) => box.querySelector("input")).filter((box) => box.checked).map((box) => Number(box.value));
        await on.group(title.value, chosen);
        if (narrow.matches) slide(false);
      },
    });
  };

  /** Who is in the open group, with what can be done about it. */
  function showMembers() {
    const chat = state.chats.find(({ id }) => id === state.chat);
    if (!chat?.group) return closeSheet();
    const boss = chat.members.find(({ id }) => id === state.user.id)?.status;
    const act = (user, place) => on.member(user, place).then(showMembers, (error) => {
      byId("sheet-error").textContent = error.message;
      byId("sheet-error").hidden = false;
    });
    const button = (text, label, user, place) => element("button", { type: "button", className: "small", "aria-label": label, onclick: () => act(user, place) }, text);
    const inside = chat.members.map(({ id, name, bot, status }) =>
      element(
        "li",
        {},
        face(element("span"), id, name, bot),
        element("span", {}, name, status === "member" ? null : element("span", { className: "note" }, status === "creator" ? "creator" : "admin")),
        boss === "creator" && id !== state.user.id ? (status === "administrator" ? button("No admin", `${name} is no administrator any more`, id, "member") : button("Make admin", `Make ${name} an administrator`, id, "administrator")) : null,
        id === state.user.id ? button("Leave", "Leave the group", id, "left") : boss === "creator" || boss === "administrator" ? button("Remove", `Remove ${name}`, id, "left") : null,
      ),
    );
    const outside = others().filter(({ id }) => !chat.members.some((member) => member.id === id));
    const addable = outside.map(({ id, name, bot }) => element("li", {}, face(element("span"), id, name, bot), element("span", {}, name), button("Add", `Add ${name}`, id, "member")));
    sheet({
      title: chat.title,
      body: [element("ul", { className: "members" }, ...inside), ...(addable.length ? [element("h3", {}, "Not in this group"), element("ul", { className: "members" }, ...addable)] : [])],
    });
    return undefined;
  }

  me.onclick = () => showPeople(people.hidden);
  drawer.onclick = () => slide(!panel.classList.contains("open"));
  veil.onclick = () => slide(false);
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (!people.hidden) showPeople(false);
    else slide(false);
  });
  narrow.addEventListener("change", () => slide(false));
  slide(false);

  return {
    show(next) {
      state = { ...state, ...next };
      drawPeople();
      drawChats();
    },
    /** A message came, was changed or was read: what the list of chats says of it. */
    said(chat, last, unread) {
      const entry = state.chats.find(({ id }) => id === chat);
      if (!entry) return;
      if (last && (!entry.last || last.id >= entry.last.id)) entry.last = last;
      entry.unread = unread(entry.unread ?? 0);
      drawChats();
    },
    members: showMembers,
    chats: () => state.chats,
    entry: () => state.chats.find(({ id }) => id === state.chat),
  };
}
