// The official OpenAI SDK for Node, that of the package in SDK, against the gateway. Prints one JSON object: what it saw, step by step.
import { counted, refusal as refused, sent, take } from './steps.mjs'

const { default: OpenAI } = await import(process.env.SDK)
const client = new OpenAI({ fetch: counted, maxRetries: 0 }) // OPENAI_BASE_URL, OPENAI_API_KEY
const ask = { model: 'demo/model', messages: [{ role: 'user', content: 'hello' }] }
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }]

const refusal = (call) => refused(call, (error) => ({ code: error.code ?? null, is_api_error: error instanceof OpenAI.APIError }))

const steps = {
    async plain() {
        const { data, response, request_id } = await client.chat.completions.create(ask).withResponse()
        return { text: data.choices[0].message.content, usage: data.usage, request_id, cost: response.headers.get('x-tollgate-cost') }
    },
    async streamed() {
        const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })
        const chunks = []
        for await (const chunk of stream) chunks.push(chunk)
        return { text: chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? '').join(''), usage: chunks.at(-1).usage, with_usage: chunks.filter((chunk) => chunk.usage).length }
    },
    async tools() {
        const answer = await client.chat.completions.create({ ...ask, tools })
        return { calls: answer.choices[0].message.tool_calls, reason: answer.choices[0].finish_reason }
    },
    async tools_streamed() {
        const answer = await client.chat.completions.stream({ ...ask, tools }).finalChatCompletion()
        return { calls: answer.choices[0].message.tool_calls, reason: answer.choices[0].finish_reason }
    },
    async embeddings() {
        const input = ['one', 'two']
        const asked = await client.embeddings.create({ model: 'demo/embed', input })
        const floats = await client.embeddings.create({ model: 'demo/embed', input, encoding_format: 'float' })
        return { as_the_sdk_asks: asked.data.map((one) => one.embedding), as_floats: floats.data.map((one) => one.embedding), usage: asked.usage }
    },
    async models() {
        const listed = []
        for await (const model of client.models.list()) listed.push(model.id)
        return { listed, one: (await client.models.retrieve('demo/model')).id }
    },
    async errors() {
        const stranger = client.withOptions({ apiKey: 'sk-tg-000000000000-00000000000000000000000000000000' })
        const poor = client.withOptions({ apiKey: process.env.POOR_KEY, maxRetries: 2 })
        const before = sent.length
        const found = {
            unknown_key: await refusal(() => stranger.chat.completions.create(ask)),
            unknown_model: await refusal(() => client.chat.completions.create({ ...ask, model: 'demo/nobody' })),
            wrong_body: await refusal(() => client.chat.completions.create({ ...ask, max_tokens: 'many' })),
            no_credit: await refusal(() => poor.chat.completions.create(ask)),
            broken_stream: await refusal(async () => {
                for await (const _ of await client.chat.completions.create({ ...ask, stream: true, user: 'breaks off' }));
            }),
        }
        return { ...found, requests: sent.length - before }
    },
    async retries() {
        const before = sent.length
        const answer = await client.withOptions({ maxRetries: 2 }).chat.completions.create({ ...ask, user: 'busy once' })
        return { text: answer.choices[0].message.content, requests: sent.length - before }
    },
    async repeated() {
        const options = { headers: { 'Idempotency-Key': `node-${Date.now()}` } }
        const first = await client.chat.completions.create(ask, options).withResponse()
        const second = await client.chat.completions.create(ask, options).withResponse()
        return { same: first.request_id === second.request_id, replayed: second.response.headers.get('x-tollgate-idempotent-replay') }
    },
}

await take(steps)
