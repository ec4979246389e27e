/* client.js - an account's page: what is left, its limits, where the money went. */

import { get } from "./api.js";
import { bars, shares } from "./chart.js";
import { calls } from "./calls.js";
import { figure, h } from "./dom.js";
import { amount, count, daysOf, time } from "./format.js";
import { t } from "./text.js";

export async function load(month) {
    const [balance, usage, events] = await Promise.all([
        get("client/balance"),
        get(month ? `client/usage?period=${month}` : "client/usage"),
        get("client/calls?limit=20"),
    ]);
    return {month: usage.period, owner: balance.account, balance, usage, events};
}

export function draw(data, more) {
    return [balance(data.balance), data.usage.currencies.map((c) => spent(c, data.month)), budgets(data.balance), limits(data.balance), calls(data.events, {withClient: false}, more)];
}

export function older(before) {
    return get(`client/calls?limit=20&before=${before}`);
}

function balance(b) {
    return h("div", {class: "figures"},
        figure(t("available"), amount(b.available, 6), b.currency, true),
        figure(`${t("balance")} (${t(b.mode)})`, amount(b.balance, 6), b.currency),
        granted(b),
        figure(t("held"), amount(b.held, 6), b.currency),
        figure(t("openCalls"), count(b.open_calls)));
}

function granted(b) {
    return b.next_expiry
        ? figure(`${t("granted")} (${t("ends")} ${b.next_expiry.at.slice(0, 10)}: ${amount(b.next_expiry.amount, 6)})`, amount(b.granted, 6), b.currency)
        : null;
}

function spent(c, month) {
    const spentOn = Object.fromEntries(c.days.map((d) => [d.day, d.amount]));
    const days = daysOf(month).map((day) => ({label: day, value: spentOn[day] ?? "0", shown: amount(spentOn[day] ?? "0", 6)}));
    const models = [...c.models].sort((a, b) => Number(b.amount) - Number(a.amount));
    return h("section", {class: "columns", "aria-label": month},
        h("div", {class: "card"},
            h("h2", {}, `${t("spent")}, ${month}: ${amount(c.amount, 6)} ${c.currency}, ${t("calls")}: ${count(c.calls)}`),
            bars(`${t("spent")}, ${c.currency}`, days, t("day"), t("spent"))),
        h("div", {class: "card"}, h("h2", {}, t("byModel")), shares(models.map((m) => ({label: m.model, value: m.amount, shown: amount(m.amount, 6)})))));
}

/** Notices are sent at the marks; beyond them a bar changes its colour too. */
const MARKS = [80, 95];

function budgets(b) {
    return b.budgets.length === 0 ? null : h("section", {class: "card"}, h("h2", {}, t("budgets")),
        h("ul", {class: "shares"}, b.budgets.map((budget) => h("li", {class: "budget"}, budgetOf(budget, b.currency)))));
}

function budgetOf(budget, currency) {
    const name = [t(`budgetOf_${budget.of}`), budget.model, t(`budgetOf_${budget.window}`)].filter(Boolean).join(", ");
    const used = 100 * (Number(budget.spent) + Number(budget.held)) / Number(budget.limit);
    const passed = MARKS.filter((mark) => used >= mark).pop();
    return [
        h("div", {class: "row"}, h("span", {class: "name"}, name),
            h("span", {class: "number"}, `${amount(budget.spent, 6)} / ${amount(budget.limit)} ${currency}`)),
        h("div", {class: "meter"},
            h("progress", {max: 100, value: Math.min(100, used).toFixed(2), class: passed ? `over${passed}` : null, "aria-label": name}),
            MARKS.map((mark) => h("span", {class: `mark at${mark}`, title: `${mark} %`, "aria-hidden": "true"}))),
        h("div", {class: "row quiet"},
            h("span", {}, `${t("left")}: `, h("span", {class: "number"}, `${amount(budget.left, 6)} ${currency}`), passed ? h("span", {class: "badge over"}, `≥ ${passed} %`) : null),
            h("span", {}, `${t("anew")}: ${time(budget.ends_at)}`)),
    ];
}

function limits(b) {
    const rows = [
        [t("creditLimit"), b.mode === "postpaid" ? `${amount(b.credit_limit)} ${b.currency}` : t("none")],
        ...["concurrency", "rpm", "tpm"].map((name) => [t(name), b.limits[name] === null ? t("none") : count(b.limits[name])]),
        ...["rpm", "tpm"].filter((name) => b.key[name] !== null).map((name) => [`${t(name)}, ${t("budgetOf_key")}`, count(b.key[name])]),
        [t("zone"), b.zone],
        ...(b.key.expires_at ? [[t("keyEnds"), time(b.key.expires_at)]] : []),
    ];
    return h("section", {class: "card"}, h("h2", {}, t("limits")),
        h("dl", {class: "facts"}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {class: "number"}, value)])));
}

export const heading = () => ({title: t("account"), under: t("accountOf")});
