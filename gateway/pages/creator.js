/* creator.js - a creator's page: what its models earn, while calls come in. */

import { get } from "./api.js";
import { bars, shares } from "./chart.js";
import { calls } from "./calls.js";
import { figure, h } from "./dom.js";
import { amount, count, daysOf } from "./format.js";
import { t } from "./text.js";

/** What the page shows of a month (null: the one that runs). */
export async function load(month) {
    const [earnings, events] = await Promise.all([
        get(month ? `creator/earnings?period=${month}` : "creator/earnings"),
        get("creator/events?limit=20"),
    ]);
    return {month: earnings.period, owner: earnings.creator, earnings, events};
}

export function draw(data, more) {
    const currencies = data.earnings.currencies;
    return [
        currencies.length ? currencies.map((c) => currency(c, data.month)) : h("p", {class: "card empty"}, t("noCalls")),
        calls(data.events, {withClient: true}, more),
    ];
}

/** The page of calls behind `before`. */
export function older(before) {
    return get(`creator/events?limit=20&before=${before}`);
}

function currency(c, month) {
    const earnedOn = Object.fromEntries(c.days.map((d) => [d.day, d.earned]));
    const days = daysOf(month).map((day) => ({label: day, value: earnedOn[day] ?? "0", shown: amount(earnedOn[day] ?? "0", 6)}));
    const models = [...c.models].sort((a, b) => Number(b.net) - Number(a.net));
    return h("section", {class: "stack", "aria-label": c.currency},
        h("div", {class: "figures"},
            figure(t("net"), amount(c.net, 6), c.currency, true),
            figure(t("gross"), amount(c.gross, 6), c.currency),
            figure(t("calls"), count(c.calls)),
            figure(t("refunds"), amount(c.refunds, 6), c.currency)),
        h("div", {class: "columns"},
            h("div", {class: "card"}, h("h2", {}, t("byDay")), bars(`${t("earned")}, ${c.currency}`, days, t("day"), t("earned"))),
            h("div", {class: "card"}, h("h2", {}, t("byModel")), shares(models.map((m) => ({label: m.model, value: m.net, shown: amount(m.net, 6)}))))));
}

export const heading = () => ({title: t("earnings"), under: t("earningsOf")});
