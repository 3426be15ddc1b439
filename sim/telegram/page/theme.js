// Light and dark: the system's choice until the person makes one.

import { byId } from "/page/dom.js";

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
