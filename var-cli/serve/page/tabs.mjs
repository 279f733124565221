// @ts-check
// The three views.

import { byId } from "./elements.mjs";

/** @typedef {"class" | "own" | "api"} View */

const VIEWS = /** @type {View[]} */ (["class", "own", "api"]);

/** @param {View} view */
const tab = (view) => byId(`tab-${view}`, HTMLButtonElement);

/**
 * Makes the tabs work.
 * @param {(view: View) => void} chosen called after the user's choice
 */
export function chooseViews(chosen) {
    for (const [at, view] of VIEWS.entries()) {
        tab(view).addEventListener("click", () => {
            showView(view);
            chosen(view);
        });
        tab(view).addEventListener("keydown", (event) => {
            const to = { ArrowRight: at + 1, ArrowLeft: at + VIEWS.length - 1, Home: 0, End: VIEWS.length - 1 }[event.key];
            if (to === undefined) return;
            event.preventDefault();
            tab(VIEWS[to % VIEWS.length]).focus();
            tab(VIEWS[to % VIEWS.length]).click();
        });
    }
}

/** @param {View} view */
export function showView(view) {
    for (const other of VIEWS) {
        tab(other).setAttribute("aria-selected", String(other === view));
        tab(other).tabIndex = other === view ? 0 : -1;
    }
    byId("panel", HTMLElement).setAttribute("aria-labelledby", `tab-${view === "api" ? "class" : view}`);
    byId("api", HTMLElement).hidden = view !== "api";
    for (const id of ["panel", "stage", "history"]) byId(id, HTMLElement).hidden = view === "api";
}
