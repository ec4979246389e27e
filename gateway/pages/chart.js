/* chart.js - bars by day, and shares as bars; each with its figures as a table, for who can't see it
 * and for who wants to copy them. */

import { h, s, table } from "./dom.js";
import { t } from "./text.js";

const WIDTH = 640, HEIGHT = 200, LEFT = 8, BOTTOM = 22, TOP = 18;

/** points: [{label, value (a decimal string), shown}], in order. */
export function bars(title, points, labelName, valueName) {
    const values = points.map((p) => Math.max(0, Number(p.value)));
    const highest = Math.max(...values, 0);
    const step = (WIDTH - 2 * LEFT) / Math.max(points.length, 1);
    const height = (v) => highest ? (HEIGHT - BOTTOM - TOP) * v / highest : 0;
    const base = HEIGHT - BOTTOM;
    const best = points[values.indexOf(highest)];
    const drawing = s("svg", {class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title},
        s("line", {class: "grid", x1: LEFT, x2: WIDTH - LEFT, y1: base, y2: base}),
        highest ? s("line", {class: "grid", x1: LEFT, x2: WIDTH - LEFT, y1: TOP, y2: TOP, "stroke-dasharray": "3 4"}) : null,
        highest ? s("text", {x: LEFT, y: TOP - 5}, best.shown) : null,
        points.map((p, i) => s("rect", {
            class: "bar", x: (LEFT + i * step + step * 0.14).toFixed(2), width: (step * 0.72).toFixed(2), rx: Math.min(3, step / 5).toFixed(2),
            y: (base - Math.max(height(values[i]), values[i] ? 1 : 0)).toFixed(2), height: Math.max(height(values[i]), values[i] ? 1 : 0).toFixed(2),
        }, s("title", {}, `${p.label}: ${p.shown}`))),
        points.map((p, i) => i % 5 === 0 || points.length < 8 ? s("text", {x: LEFT + (i + 0.5) * step, y: HEIGHT - 6, "text-anchor": "middle"}, p.label.slice(-2)) : null));
    const rows = points.filter((_, i) => values[i]);
    return h("div", {}, drawing, rows.length ? h("details", {}, h("summary", {}, t("asTable")), table(title, [
        {name: labelName, cell: (p) => p.label},
        {name: valueName, number: true, cell: (p) => p.shown},
    ], rows)) : null);
}

/** items: [{label, value, shown}], the largest first. */
export function shares(items) {
    const highest = Math.max(...items.map((i) => Number(i.value)), 0);
    return h("ul", {class: "shares"}, items.map((item) => h("li", {},
        h("div", {class: "row"}, h("span", {class: "name mono"}, item.label), h("span", {class: "number"}, item.shown)),
        h("progress", {max: highest || 1, value: Math.max(0, Number(item.value)), "aria-label": item.label}))));
}
