/* dom.js - elements without markup in strings, so that nothing a server says is ever taken for HTML. */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
        if (value === null || value === undefined || value === false)
            continue;
        if (name.startsWith("on"))
            node.addEventListener(name.slice(2), value);
        else
            node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
}

/** An element: h("p", {class: "quiet"}, "text", other). Attributes that are null or false are left out. */
export function h(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A table; columns: {name, number?, cell(row)}. */
export function table(caption, columns, rows) {
    return h("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
        h("table", {},
            h("thead", {}, h("tr", {}, columns.map((c) =>
                h("th", {scope: "col", class: c.number ? "number" : null}, c.name)))),
            h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((c) =>
                h("td", {class: c.number ? "number" : null}, c.cell(row))))))));
}

/** A card with a figure in it. */
export function figure(label, value, unit, isFirst) {
    return h("div", {class: isFirst ? "card figure first" : "card figure"},
        h("div", {class: "label"}, label),
        h("div", {class: "value number"}, value, " ", unit ? h("small", {}, unit) : null));
}
