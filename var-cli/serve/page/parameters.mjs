// @ts-check
// Settings of the parameters that an image's PNG file has.

import { fromText } from "./settings.mjs";

/**
 * Settings that make the image again.
 * @param {Record<string, string>} texts
 * @returns {Partial<import("./settings.mjs").Settings>}
 * @throws if `var sample` or `var edit` did not make it
 */
export function settingsOf(texts) {
    if (texts.Software !== "var") throw new Error("the PNG file has no parameters of var");
    const { command } = texts;
    if (command !== "sample" && command !== "edit") throw new Error(`the PNG file was made by var ${command}, which draws nothing`);
    const { index = "0", ...rest } = texts;
    const [first, end] = index.split("..").map(Number);
    const found = fromText({ ...rest, task: command, first_index: String(first), count: "1" });
    // Several images in a file: those of a class follow each other.
    const labels = found.classes ?? [];
    const classes = labels.filter((label, at) => label !== labels[at - 1]);
    const each = ((end ?? first + 1) - first) / Math.max(1, classes.length);
    const even = Number.isInteger(each) && classes.every((label, at) => labels[at * each] === label);
    return even ? { ...found, classes, count: each } : { ...found, classes: labels, count: 1 };
}
