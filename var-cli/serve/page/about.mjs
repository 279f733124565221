// @ts-check
// The model and the machine, in words.

import { byId } from "./elements.mjs";

/**
 * @param {import("./api.mjs").Info} info
 * @param {number} classes
 */
export function describe({ version, model, model_is_replaced, device, threads, isa, memory }, classes) {
    const replaced = model_is_replaced ? "; its file is another one by now" : "";
    byId("model", HTMLElement).textContent = `${model.name}: ${model.side} × ${model.side} pixels, ${classes} classes${replaced}`;
    byId("device", HTMLElement).textContent = `var ${version} on ${device === "cpu" ? `${threads} threads with ${isa}` : device}`;
    showMemory(memory ?? {});
}

/** @param {import("./api.mjs").Memory} memory */
export function showMemory({ resident_bytes, peak_bytes }) {
    if (!resident_bytes) return;
    const peak = peak_bytes ? `, at most ${bytes(peak_bytes)} so far` : "";
    byId("memory", HTMLElement).textContent = `${bytes(resident_bytes)} of memory${peak}`;
}

/** @param {number} count */
function bytes(count) {
    return count < 1e9 ? `${Math.round(count / 1e6)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}
