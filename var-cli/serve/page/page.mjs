// @ts-check
// The page's parts together: the form asks, the server draws, the stage shows.

import { describe, showMemory } from "./about.mjs";
import { base64 } from "./api.mjs";
import { ClassPicker } from "./class_picker.mjs";
import { curl } from "./curl.mjs";
import { byId } from "./elements.mjs";
import { offerCopy, onDrop, onFile } from "./files.mjs";
import { Form } from "./form.mjs";
import { OwnImage } from "./own_image.mjs";
import { Painter } from "./painter.mjs";
import { settingsOf } from "./parameters.mjs";
import { Past } from "./past.mjs";
import { readTexts } from "./png.mjs";
import { Queue } from "./queue.mjs";
import { Run } from "./run.mjs";
import { body, defaults, fromFragment, toFragment } from "./settings.mjs";
import { Stage } from "./stage.mjs";
import { chooseViews, showView } from "./tabs.mjs";

/**
 * @typedef {import("./settings.mjs").Settings} Settings
 * @typedef {import("./classes.mjs").Named} Named
 */

export class Page {
    #painter;
    #own;

    /**
     * @param {import("./api.mjs").Info} about
     * @param {Named[]} all
     */
    constructor(about, all) {
        this.about = about;
        this.all = all;
        this.usual = defaults(about.defaults);
        this.picker = new ClassPicker();
        this.picker.all = all;
        this.form = new Form(this.usual, this.picker);
        this.stage = new Stage(about.model, this.nameOf);
        this.queue = new Queue();
        this.past = new Past((run, at) => {
            this.take(run.settings);
            this.stage.show(run, at);
        });
        this.#own = new OwnImage(about.model.side);
        this.#painter = new Painter(about.model.ladder.at(-1) ?? 1);
        this.form.changed = () => this.#changed();
        this.form.sent = () => this.send();
        this.queue.started = (run) => this.stage.run === run || this.stage.show(run);
        this.queue.waits = (run) => this.stage.run === run || this.stage.show(run);
        this.queue.ended = (run) => this.#ended(run);
        chooseViews((view) => {
            if (view !== "api") this.form.own = view === "own";
            this.#changed();
        });
        byId("stop", HTMLButtonElement).addEventListener("click", () => this.stop());
        byId("use", HTMLButtonElement).addEventListener("click", () => this.#editShown());
        offerCopy("link", "link-name", () => location.href);
        offerCopy("copy", "copy-name", () => byId("curl", HTMLElement).textContent ?? "");
        onFile("file", (file) => this.#openOwn(file));
        onFile("mask-file", (file) => this.#painter.read(file).catch(() => this.form.fault(`${file.name}: no image that this browser reads`, "mask")));
        onFile("settings-file", (file) => this.#takeFrom(file));
        onDrop((file) => this.#dropped(file));
        addEventListener("hashchange", () => this.address());
        describe(about, all.length);
    }

    /** A class's title; none is null here, -1 in files. @param {number | null} label */
    nameOf = (label) => (label === null || label < 0 ? "no class" : this.picker.of(label)?.title ?? `class ${label}`);

    /** Takes the settings that the address has. */
    address() {
        this.take({ ...this.usual, seed: this.form.get().seed, ...fromFragment(location.hash) }, location.hash.includes("seed="));
    }

    /**
     * Settings back into the form.
     * @param {Partial<Settings>} settings
     * @param {boolean} [locks] the seed
     */
    take(settings, locks = true) {
        this.form.clear();
        this.form.set(settings);
        if (locks) this.form.locked = true;
        showView(this.form.own ? "own" : "class");
        this.#changed();
        const unknown = settings.classes?.find((label) => !this.picker.of(label));
        if (unknown !== undefined) this.form.fault(`class ${unknown}: the model has classes 0 to ${this.all.length - 1}`, "classes");
    }

    #changed() {
        this.form.arrange();
        const unable = !this.about.model.has_transformer && this.form.task !== "reconstruct";
        byId("draw", HTMLButtonElement).disabled = unable;
        if (unable) this.form.fault("The model has no transformer: it reconstructs images, but draws none.");
        this.#painter.enabled = this.form.task === "edit";
        const settings = this.form.get();
        history.replaceState(null, "", `#${toFragment(settings, this.usual)}`);
        byId("curl", HTMLElement).textContent = curl(settings, location.origin, this.#own.file?.name ?? "image.png");
    }

    /** Sends what the form asks for. */
    async send() {
        this.form.clear();
        if (this.form.task === "sample" && !this.picker.chosen.length) {
            this.picker.chosen = [this.all[Math.floor(Math.random() * this.all.length)].label];
        }
        this.form.roll();
        this.#changed();
        if (!this.form.checkValues()) return;
        const settings = this.form.get();
        const files = await this.#files(settings);
        if (!files) return;
        const run = new Run(settings, this.#titleOf(settings), this.nameOf);
        if (!this.queue.first) this.stage.awaited = run;
        this.queue.add(run, { ...body(settings), ...files });
    }

    /**
     * The files that a task wants, or null if one is missing.
     * @param {Settings} settings
     */
    async #files({ task }) {
        if (task === "sample") return {};
        const { file } = this.#own;
        if (!file) return this.form.fault("image: choose one, or drop it on the page", "image") || null;
        const { body_bytes } = this.about.limits;
        // Base64 takes four bytes for three.
        if (file.size * 4 / 3 > body_bytes) {
            return this.form.fault(`image: ${file.name} has ${file.size} bytes, the server takes ${Math.floor(body_bytes * 3 / 4)}`, "image") || null;
        }
        const image = await base64(file);
        if (task !== "edit") return { image };
        const { mask } = this.#painter;
        if (!mask.painted) return this.form.fault("mask: nothing is painted", "mask") || null;
        if (!this.#own.size) return this.form.fault("mask: this browser cannot read the image, and so not its size", "mask") || null;
        return { image, image_name: file.name, mask: await base64(await mask.png(...this.#own.size)), mask_name: "mask.png" };
    }

    /** @param {Settings} settings */
    #titleOf({ task, classes }) {
        const names = classes.map(this.nameOf).join(", ");
        const file = this.#own.file?.name ?? "";
        return { sample: names, edit: classes.length ? `${file} with ${names}` : file, reconstruct: `Reconstruction of ${file}`, score: `Scores of ${file}` }[task];
    }

    /** Ends the job that is computed now. */
    stop() {
        const run = this.queue.first;
        if (!run) return;
        this.stage.say("Stopping after this scale");
        this.queue.cancel(run);
    }

    /** @param {Run} run */
    #ended(run) {
        this.past.add(run);
        if (run.error) {
            this.form.fault(run.error.message, run.error.option);
            if (run === this.stage.run) this.stage.say("Nothing more comes.");
        }
        showMemory(run.memory);
    }

    /** @param {File} file */
    async #openOwn(file) {
        this.form.clear();
        this.form.own = true;
        showView("own");
        await this.#own.open(file);
        this.#changed();
    }

    async #editShown() {
        const image = this.stage.drawn;
        const blob = image?.file ?? image?.frames.at(-1)?.png;
        if (!blob) return;
        await this.#openOwn(new File([blob], byId("download", HTMLAnchorElement).download, { type: "image/png" }));
        this.form.set({ task: "edit" });
        this.#changed();
        byId("painter", HTMLElement).focus();
    }

    /** @param {File} file */
    async #dropped(file) {
        if (this.form.own) await this.#openOwn(file);
        else await this.#takeFrom(file, () => this.#openOwn(file));
    }

    /**
     * Takes the settings of a PNG file.
     * @param {File} file
     * @param {() => void} [otherwise]
     */
    async #takeFrom(file, otherwise) {
        try {
            const settings = settingsOf(await readTexts(file));
            this.take({ ...this.usual, ...settings });
            this.stage.say(`Settings of ${file.name}${settings.task === "edit" ? "; its image and mask are to be chosen again" : ""}.`);
        } catch (fault) {
            if (otherwise) otherwise();
            else this.form.fault(`${file.name}: ${fault instanceof Error ? fault.message : fault}`);
        }
    }
}
