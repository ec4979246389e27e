/* app.js - one page for whoever signs in: loads what its role may see, draws it, and asks again
 * every few seconds while somebody looks. */

import { Refusal, role, roleOf, signIn, signOut } from "./api.js";
import * as client from "./client.js";
import * as creator from "./creator.js";
import { h } from "./dom.js";
import * as finance from "./finance.js";
import { monthsBack } from "./format.js";
import { language, setLanguage, t } from "./text.js";

const AGAIN_MS = 3000;
const TOLD_MS = 15000;
const MONTHS = 13;
const views = {client, creator, finance};

const main = document.getElementById("main");
const bar = document.getElementById("top");
const status = document.getElementById("status");

let running = null; /* the month that runs, once it is known */
let data = null;    /* what is on the page */
let timer = 0;
let turn = 0;       /* answers to an older question are dropped */

function month() {
    return location.hash.match(/^#(\d{4}-\d{2})$/)?.[1] ?? null;
}

/* ------------------------------------------------------------------ the bar on top */

function drawBar() {
    const theme = document.documentElement.dataset.theme ?? "";
    bar.replaceChildren(
        h("span", {class: "brand"}, h("img", {src: "/pages/icon.svg", alt: ""}), "Tollgate"),
        role() ? h("span", {class: "who"}, t(role()), data?.owner ? ` · ${data.owner}` : "") : "",
        h("select", {"aria-label": t("theme"), onchange: (e) => setTheme(e.target.value)},
            [["", "themeAuto"], ["light", "themeLight"], ["dark", "themeDark"]].map(([value, name]) =>
                h("option", {value, selected: value === theme}, t(name)))),
        h("button", {type: "button", id: "language", lang: language() === "zh" ? "en" : "zh-CN", "aria-label": t("language"), title: t("languageName"),
            onclick: () => { setLanguage(language() === "zh" ? "en" : "zh"); draw(); }}, t("language")),
        role() ? h("button", {type: "button", id: "sign-out", onclick: leave}, t("signOut")) : "");
    document.querySelector(".skip").textContent = t("skip");
}

function setTheme(name) {
    if (name)
        document.documentElement.dataset.theme = name;
    else
        delete document.documentElement.dataset.theme;
    localStorage.setItem("theme", name);
}

function leave() {
    signOut();
    data = running = null;
    location.hash = "";
    start();
}

/* ------------------------------------------------------------------ signing in */

function drawSignIn(problem) {
    const input = h("input", {id: "secret", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "secret-help"});
    main.replaceChildren(h("form", {class: "card sign-in", onsubmit: (e) => { e.preventDefault(); enter(input.value.trim()); }},
        h("h1", {}, t("signIn")),
        problem ? h("p", {class: "problem", role: "alert"}, problem) : "",
        h("label", {for: "secret"}, t("secret"), input),
        h("p", {class: "quiet", id: "secret-help"}, t("secretHelp")),
        h("button", {class: "main"}, t("signIn"))));
}

function enter(text) {
    const who = roleOf(text);
    if (!views[who]) {
        drawSignIn(who === "operator" ? t("operator") : t("notAKey"));
        return;
    }
    signIn(text);
    start();
}

/* ------------------------------------------------------------------ a role's page */

function draw() {
    const view = views[role()];
    drawBar();
    if (!view) {
        drawSignIn();
        return;
    }
    const {title, under} = view.heading();
    document.title = `${title} · Tollgate`;
    if (!data) {
        main.replaceChildren(h("h1", {}, title), h("p", {class: "quiet"}, t("loading")));
        return;
    }
    const months = data.months ?? monthsBack(running, MONTHS);
    main.replaceChildren(h("div", {class: "stack"},
        h("div", {class: "heading"},
            h("div", {}, h("h1", {}, title), h("span", {class: "quiet"}, under)),
            h("label", {}, h("span", {class: "quiet"}, t("month"), " "),
                h("select", {id: "month", onchange: (e) => { e.target.blur(); location.hash = e.target.value; }},
                    months.map((m) => h("option", {value: m, selected: m === data.month}, m))))),
        view.draw(data, more)));
}

/* Who reads older calls is not asked again for the newest: the list would move away. */
async function more(before) {
    const mine = ++turn;
    clearTimeout(timer);
    const page = await views[role()].older(before);
    if (mine !== turn)
        return;
    data.events = {data: [...data.events.data, ...page.data], has_more: page.has_more};
    draw();
}

/* What a button asked for and did not get: it stands there for a while. */
function tell(refusal) {
    status.textContent = refusal.message || t("offline");
    clearTimeout(timer);
    timer = setTimeout(refresh, TOLD_MS);
}

async function refresh() {
    const mine = ++turn;
    clearTimeout(timer);
    try {
        const fresh = await views[role()].load(month());
        if (mine !== turn)
            return;
        running ??= month() ? (await views[role()].load(null)).month : fresh.month;
        status.textContent = `${t("updated")} ${new Date().toLocaleTimeString(language())}`;
        if (JSON.stringify(fresh) !== JSON.stringify(data)) {
            data = fresh;
            redraw();
        }
    } catch (refusal) {
        if (mine !== turn)
            return;
        if (!(refusal instanceof Refusal))
            throw refusal;
        if (refusal.status === 401 || refusal.status === 403) {
            signOut();
            data = null;
            draw();
            drawSignIn(refusal.message);
            return;
        }
        status.textContent = `${refusal.message || t("offline")}; ${t("retrying")} …`;
    }
    if (!document.hidden)
        timer = setTimeout(refresh, AGAIN_MS);
}

/* Who is choosing a month or selecting text is not disturbed; a later turn draws. */
function redraw() {
    const active = document.activeElement;
    const id = active?.id;
    if ((active?.tagName === "SELECT" && main.contains(active)) || !getSelection().isCollapsed)
        return;
    const open = [...main.querySelectorAll("details")].map((d) => d.open);
    draw();
    main.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? false; });
    if (id)
        document.getElementById(id)?.focus();
}

function start() {
    clearTimeout(timer);
    turn++;
    status.textContent = "";
    draw();
    if (role() && views[role()])
        refresh();
}

setTheme(localStorage.getItem("theme") ?? "");
setLanguage(language());
addEventListener("hashchange", () => { if (role()) refresh(); });
addEventListener("unhandledrejection", ({reason}) => { if (reason instanceof Refusal && role()) tell(reason); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && role()) refresh(); });
start();
