// Sending pictures and files: by the paperclip, from the clipboard, or dropped onto the chat; with a caption.

import { byId, element } from "/page/dom.js";
import { failed, sheet } from "/page/floats.js";
import { bytes } from "/page/media.js";

const PICTURE = /^image\/(png|jpeg|gif)$/;

/** `where()` says {user, chat, reply_to}; `ready()` whether anything can be sent now. */
export function attachments(where, ready) {
  const [input, chat, drop] = ["files", "chat", "drop"].map(byId);

  async function upload(file, fields) {
    const query = new URLSearchParams({ name: file.name || "file", ...fields });
    const answer = await fetch(`/upload?${query}`, { method: "POST", body: file, headers: { "Content-Type": file.type || "application/octet-stream" } });
    if (answer.ok) return;
    const said = await answer.text();
    let words = said;
    try {
      words = JSON.parse(said).error;
    } catch {
      // the server's own plain sentence
    }
    throw new Error(answer.status === 413 ? "This file is too large." : words);
  }

  function offer(files) {
    if (!files.length) return;
    if (!ready()) return failed(new Error("Nothing can be sent now."));
    const pictures = files.filter((file) => PICTURE.test(file.type));
    const addresses = [];
    const shown = files.map((file) => {
      if (!PICTURE.test(file.type)) return element("li", {}, element("b", {}, file.name), element("span", {}, bytes(file.size)));
      const src = URL.createObjectURL(file);
      addresses.push(src);
      return element("li", {}, element("img", { src, alt: "" }), element("b", {}, file.name), element("span", {}, bytes(file.size)));
    });
    const caption = element("textarea", { rows: 2, maxLength: 1024, placeholder: "Caption", "aria-label": "Caption" });
    const asFile = element("input", { type: "checkbox" });
    const body = [
      element("ul", { className: "chosen-files" }, ...shown),
      caption,
      ...(pictures.length ? [element("label", { className: "check" }, asFile, "Send without compression, as a file")] : []),
    ];
    byId("sheet").addEventListener("close", () => addresses.forEach((src) => URL.revokeObjectURL(src)), { once: true });
    caption.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId("sheet-form").requestSubmit();
    };
    const title = files.length === 1 ? (pictures.length ? "Send a photo" : "Send a file") : `Send ${files.length} files`;
    return sheet({
      title,
      body,
      ok: "Send files",
      async act() {
        const { reply_to, ...at } = where();
        const album = files.length > 1 && (pictures.length === files.length || !pictures.length) ? crypto.randomUUID() : "";
        for (const [index, file] of files.entries()) {
          const fields = { ...at, ...(asFile.checked ? { as: "file" } : {}), ...(album ? { album } : {}) };
          if (index === 0 && caption.value.trim()) fields.caption = caption.value.trim();
          if (index === 0 && reply_to) fields.reply_to = reply_to;
          await upload(file, fields);
        }
      },
    });
  }

  byId("attach").onclick = () => input.click();
  input.onchange = () => {
    offer([...input.files]);
    input.value = "";
  };
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    offer(files);
  });
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  chat.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  chat.addEventListener("dragleave", (event) => chat.contains(event.relatedTarget) || (drop.hidden = true));
  chat.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    drop.hidden = true;
    offer([...event.dataTransfer.files]);
  });
}
