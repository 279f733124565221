// @ts-check
// The field of classes: a search, its list of options, the chosen ones.

import { search } from "./classes.mjs";
import { byId, icon, make } from "./elements.mjs";

/** @typedef {import("./classes.mjs").Named} Named */

export class ClassPicker {
    #input = byId("class-search", HTMLInputElement);
    #list = byId("class-list", HTMLUListElement);
    #chips = byId("chosen", HTMLUListElement);
    /** @type {Named[]} */
    #all = [];
    /** @type {Named[]} */
    #found = [];
    #active = -1;
    #one = false;
    /** @type {number[]} */
    #chosen = [];
    /** Called after a change by the user. */
    changed = () => {};

    constructor() {
        this.#input.addEventListener("focus", () => this.#open());
        this.#input.addEventListener("click", () => this.#open());
        this.#input.addEventListener("input", () => this.#open());
        this.#input.addEventListener("blur", () => this.#close());
        this.#input.addEventListener("keydown", (event) => this.#key(event));
        // Focus stays in the field.
        this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
        this.#list.addEventListener("click", (event) => {
            const option = event.target instanceof Element && event.target.closest("[role=option]");
            if (option) this.#toggle(this.#found[[...this.#list.children].indexOf(option)]);
        });
    }

    /** @param {Named[]} all */
    set all(all) {
        this.#all = all;
        this.#list.classList.toggle("plain", !all.some(({ sign }) => sign));
        this.#input.placeholder = `Search ${all.length} classes`;
        this.#render();
    }

    /** Whether one class alone may be chosen. @param {boolean} one */
    set one(one) {
        this.#one = one;
        this.#list.setAttribute("aria-multiselectable", String(!one));
        if (one) this.chosen = this.#chosen.slice(0, 1);
    }

    get chosen() {
        return [...this.#chosen];
    }

    /** Those that the model does not have are left out. @param {number[]} labels */
    set chosen(labels) {
        this.#chosen = labels.filter((label) => this.of(label));
        this.#render();
    }

    /** @param {number} label */
    of(label) {
        return this.#all.find((entry) => entry.label === label);
    }

    /** @param {Named | undefined} entry */
    #toggle(entry) {
        if (!entry) return;
        const without = this.#chosen.filter((label) => label !== entry.label);
        const adds = without.length === this.#chosen.length;
        this.#chosen = adds ? [...(this.#one ? [] : without), entry.label] : without;
        this.#input.value = "";
        if (adds && this.#one) this.#close();
        this.#render();
        this.changed();
    }

    #render() {
        this.#chips.replaceChildren(...this.#chosen.map((label) => {
            const entry = /** @type {Named} */ (this.of(label));
            const remove = make("button", { type: "button", "aria-label": `Remove ${entry.title}` }, ...sign(entry), entry.title, icon("close"));
            remove.addEventListener("click", () => {
                this.#toggle(entry);
                this.#input.focus();
                this.#close();
            });
            return make("li", {}, remove);
        }));
        if (!this.#list.hidden) this.#options();
    }

    #open() {
        if (!this.#all.length) return;
        this.#list.hidden = false;
        this.#input.setAttribute("aria-expanded", "true");
        this.#options();
    }

    #close() {
        this.#list.hidden = true;
        this.#input.setAttribute("aria-expanded", "false");
        this.#point(-1);
    }

    #options() {
        this.#found = search(this.#all, this.#input.value);
        this.#list.replaceChildren(...this.#found.map((entry) => make(
            "li",
            { role: "option", id: `class-${entry.label}`, title: entry.name, "aria-selected": this.#chosen.includes(entry.label) },
            ...sign(entry),
            make("span", {}, entry.title),
            ...(entry.sign ? [] : [make("span", { className: "label", "aria-hidden": true }, String(entry.label))]),
        )));
        if (!this.#found.length) this.#list.append(make("li", { role: "option", "aria-disabled": true }, "No class is called so."));
        this.#point(this.#input.value && this.#found.length ? 0 : Math.min(this.#active, this.#found.length - 1));
    }

    /** @param {number} active */
    #point(active) {
        this.#list.children[this.#active]?.classList.remove("active");
        this.#active = active;
        const option = this.#list.children[active];
        option?.classList.add("active");
        option?.scrollIntoView({ block: "nearest" });
        if (option) this.#input.setAttribute("aria-activedescendant", option.id);
        else this.#input.removeAttribute("aria-activedescendant");
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        const [last, open] = [this.#found.length - 1, !this.#list.hidden];
        const moves = { ArrowDown: this.#active + 1, ArrowUp: this.#active - 1, PageDown: this.#active + 10, PageUp: this.#active - 10 };
        if (event.key in moves) {
            if (!open) this.#open();
            const to = moves[/** @type {keyof typeof moves} */ (event.key)];
            this.#point(event.key.startsWith("Arrow") ? (to > last ? 0 : to < 0 ? last : to) : Math.max(0, Math.min(last, to)));
        } else if (event.key === "Enter" && open && this.#active >= 0) {
            this.#toggle(this.#found[this.#active]);
        } else if (event.key === "Enter" && this.#input.value) {
            // A name that is not finished sends nothing.
            this.#open();
        } else if (event.key === "Escape" && open) {
            this.#close();
        } else if (event.key === "Backspace" && !this.#input.value && this.#chosen.length) {
            this.#toggle(this.of(this.#chosen[this.#chosen.length - 1]));
        } else {
            return;
        }
        event.preventDefault();
    }
}

/** @param {Named} entry */
export function sign(entry) {
    return entry.sign ? [make("span", { className: "sign", "aria-hidden": true }, entry.sign)] : [];
}
