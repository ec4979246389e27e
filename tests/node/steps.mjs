// What both SDKs' scripts have in common: requests are counted, refusals described, steps taken one after the other.

export const sent = []

// The `fetch` to give to an SDK.
export function counted(url, options) {
    sent.push(new URL(url).pathname)
    return fetch(url, options)
}

// What a call was refused with; `own(error)` adds what one SDK alone says of it. Null: it was not.
export async function refusal(call, own) {
    try {
        await call()
    } catch (error) {
        return { class: error.constructor.name, status: error.status ?? null, request_id: error.requestID ?? null, ...own(error) }
    }
    return null
}

// Prints one JSON object: what each step saw.
export async function take(steps) {
    const seen = {}
    for (const [name, step] of Object.entries(steps)) seen[name] = await step()
    console.log(JSON.stringify(seen))
}
