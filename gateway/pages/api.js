/* api.js - what the server says, or one sentence why not. The secret lives in this tab alone. */

const roles = {"sk-tg-": "client", "ck-tg-": "creator", "ft-tg-": "finance", "ot-tg-": "operator"};

let secret = sessionStorage.getItem("secret");

/** client, creator, finance, operator; null: signed out, or no secret of ours. */
export function roleOf(text) {
    return roles[text?.slice(0, 6)] ?? null;
}

export function role() {
    return roleOf(secret);
}

export function signIn(text) {
    secret = text;
    sessionStorage.setItem("secret", text);
}

export function signOut() {
    secret = null;
    sessionStorage.removeItem("secret");
}

/** An answer that is not what was asked for; `status` 0: none came. */
export class Refusal extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

async function ask(path) {
    let response;
    try {
        response = await fetch(`/api/v1/${path}`, {headers: {authorization: `Bearer ${secret}`}, cache: "no-store"});
    } catch {
        throw new Refusal(0, "");
    }
    if (response.ok)
        return response;
    const body = await response.json().catch(() => null);
    throw new Refusal(response.status, body?.error?.message ?? `${response.status} ${response.statusText}`);
}

/** The JSON at /api/v1/<path>. */
export async function get(path) {
    return (await ask(path)).json();
}

/** Saves the file at /api/v1/<path> under that name. */
export async function save(path, name) {
    const url = URL.createObjectURL(await (await ask(path)).blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
}
