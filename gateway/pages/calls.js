/* calls.js - a list of calls that grows downwards, for clients and creators. */

import { h, table } from "./dom.js";
import { amount, count, time } from "./format.js";
import { outcome, t } from "./text.js";

/** `page`: {data, has_more}; `more(request id)` shows the calls behind that one. */
export function calls(page, {withClient}, more) {
    const last = page.data.at(-1);
    const columns = [
        {name: t("when"), cell: (e) => time(e.ended_at)},
        {name: t("model"), cell: (e) => h("span", {class: "mono"}, e.model)},
        withClient ? {name: t("client_"), cell: (e) => h("span", {class: "mono"}, e.client)} : null,
        {name: t("units"), number: true, cell: units},
        {name: t("amount"), number: true, cell: (e) => `${amount(e.amount)} ${e.currency}`},
        {name: t("outcome"), cell: (e) => outcome(e.outcome)},
        {name: t("request"), cell: (e) => h("span", {class: "mono"}, e.request_id)},
    ].filter(Boolean);
    return h("section", {class: "card"}, h("h2", {}, t("latestCalls")),
        last ? table(t("latestCalls"), columns, page.data) : h("p", {class: "empty"}, t("noCalls")),
        last && page.has_more ? h("p", {}, h("button", {type: "button", onclick: () => more(last.request_id)}, t("more"))) : null);
}

function units(e) {
    return Object.entries(e.units).map(([name, n]) => h("div", {}, `${count(n)} ${name.replaceAll("_", " ")}`));
}
