// @ts-check
// The form's request as lines for a shell.

import { jsonOf } from "./api.mjs";
import { body } from "./settings.mjs";

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {import("./settings.mjs").Settings} settings
 * @param {string} origin
 * @param {string} file the name of the user's image
 */
export function curl(settings, origin, file) {
    const { task } = settings;
    const fields = jsonOf(body(settings));
    const header = "-H 'content-type: application/json'";
    let send;
    if (task === "sample") {
        send = `curl -s ${origin}/api/sample ${header} \\\n  -d ${quoted(fields)}`;
    } else {
        const files = [`image":"'"$(base64 < ${quoted(file)} | tr -d '\\n')"'"`, ...(task === "edit" ? [`mask":"'"$(base64 < mask.png | tr -d '\\n')"'"`] : [])];
        const rest = fields.slice(1, -1);
        send = `printf %s '{"${files.join(',"')}${rest && ","}${rest.replaceAll("'", "'\\''")}}' |\n  curl -s ${origin}/api/${task} ${header} -d @-`;
    }
    const lines = [
        `job=$(${send} |\n  sed 's/.*"id":"\\{0,1\\}\\([^",}]*\\).*/\\1/')`,
        `curl -N ${origin}/api/jobs/$job/events`,
    ];
    if (task !== "score") lines.push(`curl -s -o image.png ${origin}/api/jobs/$job/images/0`);
    lines.push(`curl -s -X POST ${origin}/api/jobs/$job/cancel`);
    return lines.join("\n");
}
