// Where the person writes: the growing field, the command menu, replying, and editing an own message.

import { byId, element } from "/page/dom.js";

/**
 * `on` hears send(text, replyTo), edit(id, text), both promises; failed(error); app(), the menu button's web app.
 * `lastOwn()` is the person's newest message, if any.
 */
export function composer(on) {
  const [form, field, send, menu, menuButton] = ["composer", "text", "send", "menu", "menu-button"].map(byId);
  const [editing, editingTitle, editingText, editingCancel] = ["editing", "editing-title", "editing-text", "editing-cancel"].map(byId);
  let commands = [];
  let kind = "commands";
  let shown = [];
  let chosen = 0;
  let edited = null;
  let answered = null;
  let connected = false;

  function refresh() {
    send.disabled = !connected || !field.value.trim();
    if (!CSS.supports("field-sizing", "content")) {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight}px`;
    }
    const typed = /^\/(\w*)$/.exec(field.value);
    offer(typed && !edited ? commands.filter(({ command }) => command.startsWith(typed[1].toLowerCase())) : []);
  }

  function offer(list) {
    shown = list;
    chosen = 0;
    menu.replaceChildren(
      ...list.map(({ command, description }, i) =>
        element(
          "li",
          { id: `command-${i}`, role: "option", onclick: () => run(i), onmousedown: (event) => event.preventDefault() },
          element("b", {}, `/${command}`),
          element("span", {}, description),
        ),
      ),
    );
    menu.hidden = !list.length;
    if (kind !== "app") menuButton.setAttribute("aria-expanded", String(!menu.hidden));
    choose(0);
  }

  function choose(index) {
    if (!shown.length) return field.removeAttribute("aria-activedescendant");
    chosen = (index + shown.length) % shown.length;
    [...menu.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
    menu.children[chosen].scrollIntoView({ block: "nearest" });
    return field.setAttribute("aria-activedescendant", `command-${chosen}`);
  }

  async function run(index) {
    const text = `/${shown[index].command}`;
    write("");
    await on.send(text).catch(on.failed);
  }

  function write(text) {
    field.value = text;
    refresh();
  }

  async function submit() {
    const text = field.value.trim();
    if (!text || !connected) return;
    const [editedNow, answeredNow] = [edited, answered];
    try {
      if (editedNow) await on.edit(editedNow.id, text);
      else await on.send(text, answeredNow?.id);
      stop();
      write("");
    } catch (error) {
      on.failed(error);
    }
  }

  /** The bar over the field: what is edited or answered. */
  function bar(title, message) {
    editingTitle.textContent = title;
    editingText.textContent = message.text.split("\n", 1)[0] || "Photo or file";
    editing.classList.toggle("replying", Boolean(answered));
    editing.hidden = false;
    field.focus();
  }

  function startEditing(message) {
    [edited, answered] = [message, null];
    write(message.text);
    bar("Edit message", message);
  }

  function startReplying(message) {
    if (edited) write("");
    [edited, answered] = [null, message];
    bar(`Reply to ${message.name}`, message);
  }

  function stop() {
    [edited, answered] = [null, null];
    editing.hidden = true;
  }

  function cancel() {
    if (edited) write("");
    stop();
  }

  form.onsubmit = (event) => {
    event.preventDefault();
    submit();
    field.focus();
  };
  field.oninput = refresh;
  field.onkeydown = (event) => {
    if (event.isComposing) return;
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (shown.length && event.key in steps) choose(chosen + steps[event.key]);
    else if (shown.length && event.key === "Enter" && !event.shiftKey) run(chosen);
    else if (shown.length && event.key === "Tab") write(`/${shown[chosen].command} `);
    else if (event.key === "Escape" && shown.length) offer([]);
    else if (event.key === "Escape" && (edited || answered)) cancel();
    else if (event.key === "Enter" && !event.shiftKey) submit();
    else if (event.key === "ArrowUp" && !field.value && on.lastOwn()) startEditing(on.lastOwn());
    else return;
    event.preventDefault();
  };
  menuButton.onclick = () => {
    if (kind === "app") return on.app();
    offer(menu.hidden ? commands : []);
    return field.focus();
  };
  field.onblur = () => offer([]);
  menuButton.onmousedown = (event) => event.preventDefault();
  editingCancel.onclick = cancel;

  return {
    connected(yes) {
      connected = yes;
      refresh();
    },
    /** The commands of the chat, and what the menu button does: {kind: "commands" | "none" | "app", text}. */
    commands(list, button) {
      commands = list;
      ({ kind } = button);
      const text = kind === "app" ? button.text : "Menu";
      byId("menu-text").textContent = text;
      menuButton.setAttribute("aria-label", kind === "app" ? text : "Commands");
      menuButton.classList.toggle("app", kind === "app");
      menuButton.hidden = kind === "none";
      refresh();
    },
    reply: startReplying,
    edit: startEditing,
    /** The message that is being answered, which is forgotten with this. */
    takeReply() {
      const id = answered?.id;
      if (answered) stop();
      return id;
    },
    draft: () => (edited ? "" : field.value),
    begin(text) {
      stop();
      write(text);
    },
    focus: () => field.focus(),
  };
}
