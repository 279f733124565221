// @ts-check
// Scores of an image: the most likely classes as bars, the log-likelihood of each token as a heat map.

import { byId, make } from "./elements.mjs";
import { drawMap } from "./tokens.mjs";

const BARS = 10;

/**
 * A color of a share of 0 to 1: dark blue, through violet and orange, to a light yellow.
 * @param {number} share
 * @returns {number[]} bytes of red, green and blue
 */
export function heat(share) {
    const stops = [[18, 18, 60], [96, 32, 128], [196, 60, 92], [246, 140, 50], [252, 240, 170]];
    const at = Math.max(0, Math.min(1, share)) * (stops.length - 1);
    const [from, to] = [stops[Math.floor(at)], stops[Math.ceil(at)]];
    return from.map((value, channel) => Math.round(value + (to[channel] - value) * (at % 1)));
}

/**
 * Shows them.
 * @param {import("./run.mjs").Scored} scored
 * @param {(label: number | null) => string} nameOf
 */
export function showScores({ scores, maps, best }, nameOf) {
    byId("scores", HTMLElement).hidden = false;
    const first = [...scores].sort((a, b) => b.log_likelihood - a.log_likelihood).slice(0, BARS);
    byId("bars", HTMLElement).replaceChildren(...first.map(({ label, log_likelihood, probability }) => {
        const share = probability >= 0.0005 ? `${(100 * probability).toFixed(1)} %` : "< 0.1 %";
        const name = nameOf(label);
        return make(
            "li",
            {},
            make("span", {}, name),
            make("meter", { value: probability, max: 1, "aria-label": name }, share),
            make("span", { className: "number" }, share),
            make("span", { className: "nats", title: "log-likelihood" }, `${log_likelihood.toFixed(1)} nats`),
        );
    }));
    const values = maps.flatMap(({ log_likelihood }) => log_likelihood);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    byId("heat-title", HTMLElement).textContent = `Log-likelihood of each token, given ${nameOf(best)}`;
    byId("heat", HTMLElement).replaceChildren(...maps.map(({ side, log_likelihood }) => {
        const mean = log_likelihood.reduce((sum, value) => sum + value, 0) / log_likelihood.length;
        const canvas = make("canvas", { role: "img", "aria-label": `${side} × ${side} tokens: ${mean.toFixed(2)} nats on average` });
        drawMap(canvas, side, log_likelihood, (value) => heat((value - least) / (most - least || 1)));
        return make("figure", {}, canvas, `${side} × ${side}`, make("br"), `mean ${mean.toFixed(1)}`);
    }));
    byId("heat-least", HTMLElement).textContent = `${least.toFixed(1)} nats`;
    byId("heat-most", HTMLElement).textContent = most.toFixed(1);
    const legend = byId("heat-colors", HTMLCanvasElement);
    const context = /** @type {CanvasRenderingContext2D} */ (legend.getContext("2d"));
    for (let at = 0; at < legend.width; at += 1) {
        context.fillStyle = `rgb(${heat(at / (legend.width - 1)).join(" ")})`;
        context.fillRect(at, 0, 1, 1);
    }
}
