// Where the person writes: the growing field, the command menu, editing one's last message.

import { byId, element } from "/page/dom.js";

/** `on` hears send(text), edit(id, text); both return promises. `lastOwn()` is the person's newest message, if any. */
export function composer(on) {
  const [form, field, send, menu, menuButton] = ["composer", "text", "send", "menu", "menu-button"].map(byId);
  const [editing, editingText, editingCancel] = ["editing", "editing-text", "editing-cancel"].map(byId);
  let commands = [];
  let shown = [];
  let chosen = 0;
  let edited = null;
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
    menuButton.setAttribute("aria-expanded", String(!menu.hidden));
    choose(0);
  }

  function choose(index) {
    if (!shown.length) return field.removeAttribute("aria-activedescendant");
    chosen = (index + shown.length) % shown.length;
    [...menu.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
    menu.children[chosen].scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", `command-${chosen}`);
  }

  async function run(index) {
    const text = `/${shown[index].command}`;
    write("");
    await on.send(text);
  }

  function write(text) {
    field.value = text;
    refresh();
  }

  async function submit() {
    const text = field.value.trim();
    if (!text || !connected) return;
    try {
      if (edited) await on.edit(edited.id, text);
      else await on.send(text);
      stopEditing();
      write("");
    } catch (error) {
      on.failed(error);
    }
  }

  function startEditing(message) {
    edited = message;
    editingText.textContent = message.text;
    editing.hidden = false;
    write(message.text);
    field.focus();
  }

  function stopEditing() {
    edited = null;
    editing.hidden = true;
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
    else if (event.key === "Escape" && edited) {
      stopEditing();
      write("");
    } else if (event.key === "Enter" && !event.shiftKey) submit();
    else if (event.key === "ArrowUp" && !field.value && on.lastOwn()) startEditing(on.lastOwn());
    else return;
    event.preventDefault();
  };
  menuButton.onclick = () => {
    offer(menu.hidden ? commands : []);
    field.focus();
  };
  field.onblur = () => offer([]);
  menuButton.onmousedown = (event) => event.preventDefault();
  editingCancel.onclick = () => {
    stopEditing();
    write("");
  };

  return {
    connected(yes) {
      connected = yes;
      refresh();
    },
    commands(list) {
      commands = list;
      menuButton.hidden = !list.length;
      refresh();
    },
    focus: () => field.focus(),
  };
}
