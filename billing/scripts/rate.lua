-- rate.lua - request and token rates by the generic cell rate algorithm (GCRA; ITU-T I.371, annex A, its virtual
-- scheduling form), in integer microseconds of Redis's clock: all are below 2^53, where doubles are exact.
--
-- A limit of N a minute books n cells as ceil(n * 60 s / N), one after another; the end of what is booked is the
-- theoretical arrival time. A call passes if what is booked ahead of now, itself included, is at most the burst: N
-- cells. So in any w microseconds at most N + w * N / 60 s cells are admitted: costs are rounded up, never down.
--
-- Tokens are booked for the worst case and `unused` ones given back. Of a booking only what still lies ahead of now
-- can go back, the rest has run off; and what others gave back has moved this booking's end nearer: `given` counts
-- that. So the bound holds for the tokens that were used, each counted when its call was admitted.
local MINUTE, GIVEN_WRAPS, IDLE_SECONDS = 60000000, 1000000000000000, 120

local function micros()
    local time = call('TIME')
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function integer(number)
    return string.format('%.0f', number)
end

local function cell_cost(n, limit)
    local product = n * MINUTE
    local rest = product % limit
    return (product - rest) / limit + (rest > 0 and 1 or 0)
end

-- What goes back to `rate` of a booking "cost:finish:given" for `tokens`: {rate, its fields then}, or nil. Reads
-- only; put_back() writes.
local function unused(rate, share, tokens, used)
    local cost, finish, given = match(share, '^(%d+):(%d+):(%d+)$')
    if not cost or used >= tokens then
        return
    end
    local r = call('HMGET', rate, 'tokens', 'given')
    if not r[1] or not r[2] then
        return
    end
    local moved = (r[2] - given) % GIVEN_WRAPS
    local back = math.min(math.floor(cost * (tokens - used) / tokens), finish - moved - micros())
    if back > 0 then
        return {rate, 'tokens', integer(r[1] - back), 'given', integer((r[2] + back) % GIVEN_WRAPS)}
    end
end

-- The same for both rates of an entry's tail " tokens account-share key-share" (or '').
local function all_unused(tail, account_rate, key_rate, used)
    local tokens, of_account, of_key = match(tail, '^ (%d+) (%S+) (%S+)$')
    if not tokens then
        return {}
    end
    local a = unused(account_rate, of_account, tonumber(tokens), used)
    local k = unused(key_rate, of_key, tonumber(tokens), used)
    return a and {a, k} or {k}
end

local function put_back(list)
    for _, fields in ipairs(list) do
        call('HSET', unpack(fields))
    end
end
