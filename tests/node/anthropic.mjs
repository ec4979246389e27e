// The official Anthropic SDK for Node against the gateway. Prints one JSON object: what it saw, step by step.
import Anthropic from '@anthropic-ai/sdk'
import { counted, refusal as refused, sent, take } from './steps.mjs'

const client = new Anthropic({ fetch: counted, maxRetries: 0 }) // ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY
const ask = { model: 'demo/model', max_tokens: 99, messages: [{ role: 'user', content: 'hello' }] }
const tools = [{ name: 'weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }]

const refusal = (call) => refused(call, (error) => ({ type: error.error?.error?.type ?? null, is_api_error: error instanceof Anthropic.APIError }))

const steps = {
    async plain() {
        const { data, response, request_id } = await client.messages.create(ask).withResponse()
        return { content: data.content, reason: data.stop_reason, usage: data.usage, request_id, cost: response.headers.get('x-tollgate-cost') }
    },
    async streamed() {
        const stream = client.messages.stream(ask)
        const pieces = []
        stream.on('text', (text) => pieces.push(text))
        const message = await stream.finalMessage()
        return { pieces, content: message.content, reason: message.stop_reason, usage: message.usage }
    },
    async tools() {
        const message = await client.messages.create({ ...ask, tools })
        return { content: message.content, reason: message.stop_reason }
    },
    async tools_streamed() {
        const message = await client.messages.stream({ ...ask, tools }).finalMessage()
        return { content: message.content, reason: message.stop_reason }
    },
    async tool_result() {
        const messages = [
            ...ask.messages,
            { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Köln' } }] },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'rain' }] },
        ]
        return { content: (await client.messages.create({ ...ask, messages })).content }
    },
    async counted() {
        return await client.messages.countTokens({ model: 'demo/model', messages: ask.messages })
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
            unknown_key: await refusal(() => stranger.messages.create(ask)),
            unknown_model: await refusal(() => client.messages.create({ ...ask, model: 'demo/nobody' })),
            wrong_body: await refusal(() => client.messages.create({ ...ask, max_tokens: 'many' })),
            no_credit: await refusal(() => poor.messages.create(ask)),
            broken_stream: await refusal(() => client.messages.stream({ ...ask, metadata: { user_id: 'breaks off' } }).finalMessage()),
        }
        return { ...found, requests: sent.length - before }
    },
    async retries() {
        const before = sent.length
        const message = await client.withOptions({ maxRetries: 2 }).messages.create({ ...ask, metadata: { user_id: 'busy once' } })
        return { content: message.content, requests: sent.length - before }
    },
}

await take(steps)
