// A poll: options to choose from, and shares once the person has voted or the poll is closed.

import { element } from "/page/dom.js";

export function poll(message, page) {
  const { question, options, total, closed, anonymous, multiple, quiz, mine, correct, explanation } = message.poll;
  const voted = mine.length > 0;
  const result = voted || closed;
  const kind = closed ? "Final results" : `${anonymous ? "Anonymous " : "Public "}${quiz ? "quiz" : "poll"}`;
  const chosen = new Set();
  const send = element("button", { type: "button", className: "poll-send", disabled: true, onclick: () => page.vote(message, [...chosen]) }, "Vote");

  function choose(index, node) {
    if (!multiple) return page.vote(message, [index]);
    if (!chosen.delete(index)) chosen.add(index);
    node.setAttribute("aria-checked", String(chosen.has(index)));
    send.disabled = chosen.size === 0;
    return undefined;
  }

  const rows = options.map(({ text, votes }, index) => {
    if (!result) {
      const row = element("button", { type: "button", className: `option ${multiple ? "square" : ""}`.trim(), role: multiple ? "checkbox" : "radio", "aria-checked": "false" }, element("span", { className: "mark" }), text);
      row.onclick = () => choose(index, row);
      return row;
    }
    const share = total ? Math.round((votes / total) * 100) : 0;
    const right = quiz && correct.includes(index);
    const wrong = quiz && mine.includes(index) && correct.length > 0 && !right;
    const bar = element("span", { className: "share-bar" });
    bar.style.setProperty("--share", `${share}%`);
    return element(
      "div",
      { className: `option result ${mine.includes(index) ? "chosen" : ""} ${right ? "right" : ""} ${wrong ? "wrong-answer" : ""}` },
      element("b", {}, `${share}%`),
      element("span", {}, text, bar),
    );
  });
  const votes = total === 0 ? "No votes yet" : total === 1 ? "1 vote" : `${total} votes`;
  return element(
    "div",
    { className: "poll" },
    element("b", { className: "question" }, question),
    element("span", { className: "poll-kind" }, kind),
    element("div", { className: "options", role: multiple || result ? "group" : "radiogroup", "aria-label": question }, ...rows),
    result && quiz && explanation ? element("p", { className: "explanation" }, explanation) : null,
    !result && multiple ? send : element("span", { className: "poll-total" }, votes),
  );
}
