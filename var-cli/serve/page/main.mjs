// @ts-check
// The start: the model and its classes are asked for, then the page works.

import { ApiError, classes, info } from "./api.mjs";
import { chooseAppearance } from "./appearance.mjs";
import { named } from "./classes.mjs";
import { byId } from "./elements.mjs";
import { Page } from "./page.mjs";

chooseAppearance();
// Without streams and unpacking, old_browser.js says so.
const able = "ReadableStream" in window && "DecompressionStream" in window && CSS.supports("color", "light-dark(red, red)");
if (able) document.documentElement.dataset.started = "";

async function start() {
    const [about, all] = await Promise.all([info(), classes()]);
    new Page(about, all.map(named)).address();
}

if (able) {
    start().catch((fault) => {
        byId("failure", HTMLElement).textContent = fault.message;
        byId("failure", HTMLElement).hidden = false;
        if (!(fault instanceof ApiError)) throw fault;
    });
}
