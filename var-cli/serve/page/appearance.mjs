// @ts-check
// Light, dark, or as the system is: kept for the next visit.

import { byId } from "./elements.mjs";

const KEY = "appearance";
const NAMES = { system: "as the system", light: "light", dark: "dark" };

/** @typedef {keyof typeof NAMES} Appearance */

/** Makes the button work. */
export function chooseAppearance() {
    const button = byId("appearance", HTMLButtonElement);
    /** @param {Appearance} appearance */
    const show = (appearance) => {
        document.documentElement.dataset.appearance = appearance;
        byId("appearance-name", HTMLElement).textContent = `Colors: ${NAMES[appearance]}`;
        button.title = `Colors: ${NAMES[appearance]}`;
    };
    button.addEventListener("click", () => {
        const dark = matchMedia("(prefers-color-scheme: dark)").matches;
        const order = /** @type {Appearance[]} */ (dark ? ["system", "light", "dark"] : ["system", "dark", "light"]);
        const now = /** @type {Appearance} */ (document.documentElement.dataset.appearance);
        const next = order[(order.indexOf(now) + 1) % order.length];
        show(next);
        try {
            localStorage.setItem(KEY, next);
        } catch { /* A browser that keeps nothing asks again. */ }
    });
    let kept;
    try {
        kept = localStorage.getItem(KEY);
    } catch { /* as above */ }
    show(kept === "light" || kept === "dark" ? kept : "system");
}
