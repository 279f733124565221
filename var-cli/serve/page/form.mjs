// @ts-check
// The form: settings in and out, faults beside their fields.

import { byId, check, checked, icon } from "./elements.mjs";
import { NUMBERS, anySeed, isSeed } from "./settings.mjs";

/**
 * @typedef {import("./settings.mjs").Settings} Settings
 * @typedef {import("./settings.mjs").Task} Task
 */

/** Option → the field that it is shown in. @type {Record<string, string>} */
const FIELDS = { class: "classes", box: "mask" };

/** @type {Record<Task, string>} */
const VERBS = { sample: "Draw", edit: "Draw", reconstruct: "Reconstruct", score: "Score" };
/** @type {Record<Task, string>} */
const NOTES = {
    sample: "",
    reconstruct: "The image as its tokens hold it, after every scale.",
    edit: "Paint a part; it is made anew. The rest is kept as its tokens hold it.",
    score: "How likely the model takes the image to be, class by class.",
};

export class Form {
    #form = byId("form", HTMLFormElement);
    #seed = byId("seed", HTMLInputElement);
    #lock = byId("lock", HTMLButtonElement);
    #used = false;
    /** Called after a change by the user. */
    changed = () => {};
    /** Called when the form is sent. */
    sent = () => {};
    own = false;

    /**
     * @param {Settings} usual
     * @param {import("./class_picker.mjs").ClassPicker} picker
     */
    constructor(usual, picker) {
        this.usual = usual;
        this.picker = picker;
        picker.changed = () => this.#change();
        this.#form.addEventListener("input", (event) => {
            if (event.target === this.#seed) this.locked = true;
            this.#change();
        });
        this.#form.addEventListener("submit", (event) => {
            event.preventDefault();
            this.sent();
        });
        byId("dice", HTMLButtonElement).addEventListener("click", () => {
            this.#seed.value = anySeed();
            this.#used = false;
            this.#change();
        });
        this.#lock.addEventListener("click", () => {
            this.locked = !this.locked;
        });
        byId("defaults", HTMLButtonElement).addEventListener("click", () => {
            this.set({ ...usual, task: this.task, classes: picker.chosen, seed: this.#seed.value });
            this.#change();
        });
        this.set({ ...usual, seed: anySeed() });
        this.locked = false;
    }

    #change() {
        this.clear();
        this.arrange();
        this.changed();
    }

    get locked() {
        return this.#lock.getAttribute("aria-pressed") === "true";
    }

    set locked(locked) {
        this.#lock.setAttribute("aria-pressed", String(locked));
        this.#lock.replaceChildren(icon(locked ? "locked" : "unlocked"));
    }

    /** @returns {Task} */
    get task() {
        return this.own ? /** @type {Task} */ (checked("task")) : "sample";
    }

    /** Another seed, unless it is kept or was not used yet. */
    roll() {
        if (!this.locked && this.#used) this.#seed.value = anySeed();
        this.#used = true;
    }

    /**
     * The settings; a number that is none is NaN.
     * @returns {Settings}
     */
    get() {
        const numbers = Object.fromEntries(NUMBERS.map((name) => [name, byId(name, HTMLInputElement).valueAsNumber]));
        return {
            ...this.usual,
            .../** @type {Pick<Settings, typeof NUMBERS[number]>} */ (numbers),
            task: this.task,
            classes: this.picker.chosen,
            seed: this.#seed.value.trim(),
            more_smooth: byId("more_smooth", HTMLInputElement).checked,
            outpaint: checked("outpaint") === "true",
            overlay: byId("overlay", HTMLInputElement).checked,
        };
    }

    /** @param {Partial<Settings>} settings */
    set(settings) {
        for (const name of NUMBERS) if (settings[name] !== undefined) byId(name, HTMLInputElement).value = String(settings[name]);
        if (settings.seed !== undefined) this.#seed.value = settings.seed;
        if (settings.more_smooth !== undefined) byId("more_smooth", HTMLInputElement).checked = settings.more_smooth;
        if (settings.overlay !== undefined) byId("overlay", HTMLInputElement).checked = settings.overlay;
        if (settings.outpaint !== undefined) check("outpaint", String(settings.outpaint));
        if (settings.task !== undefined) {
            this.own = settings.task !== "sample";
            if (this.own) check("task", settings.task);
        }
        this.arrange();
        if (settings.classes !== undefined) this.picker.chosen = settings.classes;
        const hidden = /** @type {const} */ (["temperature", "top_k", "top_p", "more_smooth", "first_index"]);
        if (hidden.some((name) => settings[name] !== undefined && settings[name] !== this.usual[name])) byId("more", HTMLDetailsElement).open = true;
    }

    /** Shows the fields of the task. */
    arrange() {
        const { task } = this;
        byId("own", HTMLElement).hidden = !this.own;
        byId("painting", HTMLElement).hidden = task !== "edit";
        byId("class-field", HTMLElement).hidden = task === "reconstruct";
        byId("sampling", HTMLElement).hidden = task === "reconstruct" || task === "score";
        byId("first_index-field", HTMLElement).hidden = task !== "sample";
        byId("task-note", HTMLElement).textContent = NOTES[task];
        byId("draw", HTMLButtonElement).textContent = VERBS[task];
        byId("count-label", HTMLElement).textContent = task === "edit" ? "Versions" : "Images";
        byId("count-note", HTMLElement).hidden = task === "edit";
        byId("class-label", HTMLElement).textContent = task === "sample" ? "Class" : task === "edit" ? "Class to draw" : "Classes to compare";
        const without = { sample: "a class at random", edit: "no class", score: "all classes", reconstruct: "" }[task];
        const { length } = this.picker.chosen;
        const alone = task === "score" && length === 1 ? "One class alone is compared with nothing." : "";
        byId("classes-note", HTMLElement).textContent = length ? alone : `None chosen: ${without}.`;
        this.picker.one = task === "edit";
        this.#form.classList.toggle("edits", task === "edit");
    }

    /** The first number or seed that is none, shown beside its field. */
    checkValues() {
        const settings = this.get();
        for (const name of NUMBERS) {
            if (Number.isNaN(settings[name])) return this.fault(`${name}: a number wanted`, name);
        }
        if (!isSeed(settings.seed)) return this.fault(`seed: "${settings.seed}" is no whole number below 2^64`, "seed");
        return true;
    }

    /**
     * Shows a fault, beside the option's field where it has one.
     * @param {string} message
     * @param {string} [option]
     * @returns {false}
     */
    fault(message, option = "") {
        const name = FIELDS[option] ?? option;
        const place = document.getElementById(`${name}-error`) ?? byId("failure", HTMLElement);
        place.textContent = message;
        place.hidden = false;
        const ids = { classes: "class-search", image: "file", mask: "painter" };
        const input = document.getElementById(ids[/** @type {keyof typeof ids} */ (name)] ?? name);
        const details = input?.closest("details");
        if (details) details.open = true;
        if (input && place.id !== "failure") {
            input.setAttribute("aria-invalid", "true");
            input.focus();
        }
        place.scrollIntoView({ block: "nearest" });
        return false;
    }

    /** Takes faults away. */
    clear() {
        byId("failure", HTMLElement).hidden = true;
        for (const place of this.#form.querySelectorAll(".wrong")) if (place instanceof HTMLElement) place.hidden = true;
        for (const input of this.#form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    }
}
