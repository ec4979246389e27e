/* format.js - amounts are decimal strings and stay so: they are cut and grouped as text, never
 * computed with. Only a chart's heights are numbers. */

import { language } from "./text.js";

/** "1234567.8912" → "1,234,567.8912"; with `places` the rest is cut off (towards zero), not rounded. */
export function amount(text, places = 9) {
    const [whole, fraction = ""] = text.replace("-", "").split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    const shown = fraction.slice(0, places).replace(/0+$/, "").padEnd(2, "0");
    return `${text.startsWith("-") ? "−" : ""}${grouped}.${shown}`;
}

export function count(n) {
    return new Intl.NumberFormat(language()).format(n);
}

export function time(rfc3339) {
    return new Intl.DateTimeFormat(language(), {dateStyle: "medium", timeStyle: "medium"}).format(new Date(rfc3339));
}

export function bytes(n) {
    const units = ["B", "kB", "MB", "GB"];
    let size = n, unit = 0;
    for (; size >= 1000 && unit < units.length - 1; unit++)
        size /= 1000;
    return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
}

/** The months from this one back, newest first: ["2026-11", …]; `now` is "2026-11". */
export function monthsBack(now, n) {
    let [year, month] = now.split("-").map(Number);
    return Array.from({length: n}, () => {
        const text = `${year}-${String(month).padStart(2, "0")}`;
        month = month === 1 ? 12 : month - 1;
        year -= month === 12 ? 1 : 0;
        return text;
    });
}

/** Every day of a month: ["2026-11-01", …]. */
export function daysOf(month) {
    const [year, number] = month.split("-").map(Number);
    const days = new Date(Date.UTC(year, number, 0)).getUTCDate();
    return Array.from({length: days}, (_, i) => `${month}-${String(i + 1).padStart(2, "0")}`);
}
