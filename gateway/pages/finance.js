/* finance.js - finance's page: the months, and what can be downloaded of those that are closed. */

import { get, save } from "./api.js";
import { figure, h, table } from "./dom.js";
import { amount, bytes, count, time } from "./format.js";
import { t } from "./text.js";

export async function load(month) {
    const {zone, periods} = await get("finance/periods");
    const chosen = periods.find((p) => p.period === month) ?? periods[0];
    const closed = chosen.bundle ? await get(`finance/periods/${chosen.period}/statements`) : null;
    return {month: chosen.period, months: periods.map((p) => p.period), owner: zone, periods, chosen, statements: closed?.statements.slice(0, -1)};
}

export function draw(data) {
    return [list(data.periods), month(data.chosen), data.statements ? statements(data.statements) : null, data.chosen.bundle ? files(data.chosen) : null];
}

function state(p) {
    return h("span", {class: `badge ${p.state}`}, t(p.state));
}

function sums(p, name) {
    return p.currencies.map((c) => h("div", {}, `${amount(c[name])} ${c.currency}`));
}

function list(periods) {
    return h("section", {class: "card"}, table(t("periods"), [
        {name: t("month"), cell: (p) => h("a", {href: `#${p.period}`}, p.period)},
        {name: t("state"), cell: state},
        {name: t("calls"), number: true, cell: (p) => count(p.calls)},
        {name: t("gross"), number: true, cell: (p) => sums(p, "gross")},
        {name: t("refunded"), number: true, cell: (p) => sums(p, "refunded")},
        {name: t("statements"), number: true, cell: (p) => p.bundle ? count(p.bundle.statements) : "–"},
    ], periods));
}

function month(p) {
    return h("section", {class: "stack", "aria-label": p.period},
        h("h2", {}, p.period, " ", state(p)),
        h("div", {class: "figures"}, p.currencies.map((c, i) => figure(t("gross"), amount(c.gross), c.currency, i === 0)),
            figure(t("calls"), count(p.calls)), p.bundle ? figure(t("statements"), count(p.bundle.statements)) : null),
        p.state === "over" ? h("p", {class: "quiet"}, `${t("toClose")} ${p.period}`) : null,
        p.bundle ? facts(p.bundle) : null);
}

function facts(bundle) {
    const rows = [[t("closedAt"), time(bundle.created_at)], [t("signedBy"), h("span", {class: "mono"}, bundle.key_id)], [t("writers"), count(bundle.writers)]];
    return h("div", {class: "card"}, h("dl", {class: "facts"}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
        bundle.testing ? h("p", {class: "problem"}, t("testing")) : null);
}

function statements(rows) {
    const money = (name, label) => ({name: label, number: true, cell: (s) => `${amount(s[name])} ${s.currency}`});
    return h("section", {class: "card"}, h("h2", {}, t("statements")), table(t("statements"), [
        {name: t("statement"), cell: (s) => h("span", {class: "mono"}, s.statement)},
        {name: t("creator"), cell: (s) => s.creator},
        money("opening", t("opening")), money("gross", t("gross")), money("refunds", t("refunds")), money("earned", t("earned")),
        money("payout", t("payout")), money("closing", t("closing")),
    ], rows));
}

function files(p) {
    return h("section", {class: "card"}, h("h2", {}, t("files")), table(t("files"), [
        {name: t("file"), cell: (f) => h("span", {class: "mono"}, f.name)},
        {name: t("size"), number: true, cell: (f) => f.bytes === undefined ? "" : bytes(f.bytes)},
        {name: "SHA-256", cell: (f) => h("span", {class: "mono"}, f.sha256 ?? "")},
        {name: t("download"), cell: (f) => h("button", {type: "button", "aria-label": `${t("download")} ${f.name}`,
            onclick: () => save(`finance/periods/${p.period}/files/${f.name}`, `tollgate-${p.period}-${f.name}`)}, t("download"))},
    ], p.bundle.files));
}

export const heading = () => ({title: t("periods"), under: t("periodsOf")});
