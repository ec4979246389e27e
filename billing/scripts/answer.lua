-- answer.lua - what becomes of a call's claim of its idempotency key while it runs and when its END is durable.
--
-- KEYS: state, claim, answer, index, released, stored; and with `open` the claims by the other names that the idempotency
-- key has (admit.lua). ARGV: installation, partitions, open|answered|failed, request id, digest
-- of the body, ends_ms, milliseconds left until then, writer, turn, the stored answer (or empty), how many bytes of
-- answers the account may store in any 24 hours. Answers {OK}, {TAKEN, request id} when another call has the key by now,
-- {OVER}, {INSTALLATION} or {PARKED}.
--
-- `open` puts a claim again that Redis has lost, unless its call is over: charged (in the index) or released. By whatever
-- name another call has the key, it has it.
-- `answered` and `failed` do what the END will do when it is applied, before the answer's last bytes leave: so whoever has
-- seen the end of an answer, or of a failure, can ask again at once. Only `answered` can bring an answer to be stored, and
-- it is if the claim is now that call's and the account has stored little enough.
--
-- That is the leaky bucket of rate.lua in milliseconds of Redis's clock: half of the bytes at once, the other half as the
-- day passes, so never more than all of them in 24 hours, which is how long an answer stays. `stored` is the time up to
-- which bytes are booked.
local state, key, answer, index, released, stored = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local verb, ttl_ms, text, most = ARGV[3], ARGV[7], ARGV[10], ARGV[11]
local mine = {state = verb, request = ARGV[4], body = ARGV[5], ends = ARGV[6], by = ARGV[8], turn = ARGV[9]}

-- What stands booked once so many bytes are, in ms from now; nil when that is too much.
local function book(now, bytes)
    local ahead = math.min(math.max((tonumber(call('GET', stored) or '') or 0) - now, 0), CLAIM_MS)
    local product = bytes * 2 * CLAIM_MS
    local rest = product % most
    local booked = ahead + (product - rest) / most + (rest > 0 and 1 or 0)
    return booked <= CLAIM_MS and booked or nil
end

local function store()
    local time = call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(time[2] / 1000)
    local booked = book(now, #text)
    if booked then
        call('SET', answer, text, 'PX', ttl_ms)
        call('SET', stored, string.format('%d', now + booked), 'PX', string.format('%d', booked))
    end
end

local s = call('HMGET', state, 'installation', 'partitions', 'parked')
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
elseif s[3] then
    return {'PARKED'}
end
local old = read_claim(key)
local begun = string.format('%d', tonumber(mine.ends) - CLAIM_MS) .. '000000'

-- The call that had the key by that claim when this one began; nil when none but this one had.
local function who_has(claim)
    return claim and claim.request ~= mine.request and not has_ended(claim, begun) and claim.request or nil
end

local function who_else_has()
    local other = who_has(old)
    for i = 7, #KEYS do
        other = other or who_has(read_claim(KEYS[i]))
    end
    return other
end

if verb ~= 'open' then
    if end_claim(key, old, mine, ttl_ms) and text ~= '' then
        store()
    end
elseif who_else_has() then
    return {'TAKEN', who_else_has()}
elseif not old or old.request ~= mine.request then
    if call('HEXISTS', index, mine.request) == 1 or call('EXISTS', released) == 1 then
        return {'OVER'}
    end
    if less('0', ttl_ms) then
        write_claim(key, mine, ttl_ms)
    end
end
return {'OK'}
