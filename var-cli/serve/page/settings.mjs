// @ts-check
// Settings of a request, their defaults, and their form in the page's address.

/**
 * @typedef {"sample" | "reconstruct" | "edit" | "score"} Task
 *
 * @typedef {object} Settings
 * @property {Task} task
 * @property {number[]} classes labels
 * @property {string} seed decimal digits: below 2^64, which is more than a number holds
 * @property {number} count images of each class
 * @property {number} cfg
 * @property {number} temperature
 * @property {number} top_k
 * @property {number} top_p
 * @property {boolean} more_smooth
 * @property {number} first_index
 * @property {boolean} outpaint
 * @property {boolean} overlay whether an edit keeps the other part's pixels, not its tokens alone
 */

export const NUMBERS = /** @type {const} */ (["count", "cfg", "temperature", "top_k", "top_p", "first_index"]);
const SWITCHES = /** @type {const} */ (["more_smooth", "outpaint", "overlay"]);
const TASKS = ["sample", "reconstruct", "edit", "score"];

/**
 * @param {import("./api.mjs").Sampling} sampling
 * @returns {Settings}
 */
export function defaults({ cfg, temperature, top_k, top_p, more_smooth }) {
    return { task: "sample", classes: [], seed: "", count: 1, cfg, temperature, top_k, top_p, more_smooth, first_index: 0, outpaint: false, overlay: true };
}

/** A seed that is easy to tell somebody. */
export const anySeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0]);

/** @param {string} text */
export const isSeed = (text) => /^\d{1,20}$/.test(text) && BigInt(text) < 2n ** 64n;

/**
 * The address's part after "#": all that differs from the defaults.
 * @param {Settings} settings
 * @param {Settings} usual
 */
export function toFragment(settings, usual) {
    const fields = new URLSearchParams();
    if (settings.task !== usual.task) fields.set("task", settings.task);
    if (settings.classes.length) fields.set("class", settings.classes.join(","));
    if (settings.seed) fields.set("seed", settings.seed);
    for (const name of NUMBERS) if (settings[name] !== usual[name]) fields.set(name, String(settings[name]));
    for (const name of SWITCHES) {
        if (settings[name] !== usual[name]) fields.set(name, String(settings[name]));
    }
    return fields.toString().replaceAll("%2C", ",");
}

/**
 * Settings of an address; fields that are no values are left out.
 * @param {string} fragment
 * @returns {Partial<Settings>}
 */
export function fromFragment(fragment) {
    const fields = new URLSearchParams(fragment.replace(/^#/, ""));
    return fromText(Object.fromEntries(fields));
}

/**
 * Settings of texts by name.
 * @param {Record<string, string>} fields
 * @returns {Partial<Settings>}
 */
export function fromText(fields) {
    /** @type {Partial<Settings>} */
    const found = {};
    if (TASKS.includes(fields.task)) found.task = /** @type {Task} */ (fields.task);
    if (fields.class !== undefined) {
        found.classes = fields.class.split(",").filter((text) => /^\d+$/.test(text)).map(Number);
    }
    if (isSeed(fields.seed ?? "")) found.seed = fields.seed;
    for (const name of NUMBERS) {
        const value = Number(fields[name] || NaN);
        if (Number.isFinite(value)) found[name] = value;
    }
    for (const name of SWITCHES) {
        if (fields[name] === "true" || fields[name] === "false") found[name] = fields[name] === "true";
    }
    return found;
}

/**
 * The body of a request, without the image.
 * @param {Settings} settings
 */
export function body({ task, classes, seed, count, cfg, temperature, top_k, top_p, more_smooth, first_index, outpaint, overlay }) {
    if (task === "reconstruct") return {};
    if (task === "score") return { classes: classes.length ? classes : "all" };
    const sampling = { count, seed, cfg, temperature, top_k, top_p, more_smooth };
    if (task === "edit") return { class: classes[0] ?? null, outpaint, overlay, ...sampling };
    return { classes, ...sampling, first_index };
}
