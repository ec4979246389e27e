-- rate.lua - request and token rates by the generic cell rate algorithm (GCRA; ITU-T I.371, annex A, its virtual
-- scheduling form), in integer microseconds of Redis's clock: all are below 2^53, where doubles are exact.
--
-- A limit of N a minute books n cells as ceil(n * 60 s / N), one after another; the end of what is booked is the
-- theoretical arrival time. A call passes if what is booked ahead of now, itself included, is at most the burst: N
-- cells. So in any w microseconds at most N + w * N / 60 s cells are admitted: costs are rounded up, never down.
--
-- Tokens are booked for the worst case and what was not used is given back. Of a booking only what still lies ahead of
-- now can go back, the rest has run off; and what others gave back has moved this booking's end nearer: `given` counts
-- that. So the bound holds for the tokens that were used, each counted when its call was admitted.
local MINUTE, GIVEN_WRAPS, IDLE_SECONDS = 60000000, 1000000000000000, 120

local function micros(time)
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function integer(number)
    return string.format('%.0f', number)
end

-- What a call of so many tokens finds: `scopes` has {name, key of the rate, requests a minute, tokens a minute}, these
-- as text, nil or '0' for no limit. Reads only. Answers a table of functions:
--   late()        nil when all limits let it pass, else {word, …} as admit answers
--   tell(answer)  appends what is left, of requests and of tokens
--   book()        writes; the tail of the call's entry in `holds`
local function rates_look(now, tokens, scopes)
    local limits = {}

    local function cost_of(n, limit)
        local product = n * MINUTE
        local rest = product % limit
        return (product - rest) / limit + (rest > 0 and 1 or 0)
    end

    local function look(scope, what, limit, n, booked, unit)
        local burst = unit and limit * unit or MINUTE
        local ahead = math.min(math.max((booked or 0) - now, 0), burst)
        limits[#limits + 1] = {scope = scope, what = what, limit = limit, unit = unit, burst = burst, ahead = ahead,
                               cost = unit or n <= limit and cost_of(n, limit) or math.huge}
    end

    local function left(l)
        local free = l.burst - l.ahead
        return math.floor(l.unit and free / l.unit or free * l.limit / MINUTE)
    end

    local function tell_tightest(answer, what)
        local tightest, fewest = nil, 0
        for i = 1, #limits do
            local l = limits[i]
            if l.what == what then
                local its = left(l)
                if not tightest or its < fewest then
                    tightest, fewest = l, its
                end
            end
        end
        local n = #answer
        answer[n + 1], answer[n + 2] = tightest and tightest.limit or 0, fewest
        answer[n + 3] = tightest and tightest.ahead or 0
    end

    local function tell(answer)
        tell_tightest(answer, 'requests')
        tell_tightest(answer, 'tokens')
        return answer
    end

    -- The limit that is in the way longest.
    local function late()
        local longest, wait = nil, 0
        for i = 1, #limits do
            local its = limits[i].ahead + limits[i].cost - limits[i].burst
            if its > wait then
                longest, wait = limits[i], its
            end
        end
        return longest and {longest.scope.name, longest.what, longest.limit, left(longest), wait}
    end

    local function book()
        for i = 1, #limits do
            local l = limits[i]
            l.ahead = l.ahead + l.cost
            local finish = integer(now + l.ahead)
            local fields = l.scope.fields
            fields[#fields + 1], fields[#fields + 2] = l.what, finish
            if l.what == 'tokens' then
                fields[#fields + 1], fields[#fields + 2] = 'given', l.scope.given
                l.scope.share = integer(l.cost) .. ':' .. finish .. ':' .. l.scope.given
            end
        end
        local tail = ''
        for i = 1, #scopes do
            local s = scopes[i]
            if #s.fields > 2 then
                call(unpack(s.fields))
                call('EXPIRE', s.rate, IDLE_SECONDS)
            end
            tail = tail .. ' ' .. (s.share or '-')
        end
        return find(tail, ':', 1, true) and ' ' .. integer(tokens) .. tail or ''
    end

    for i = 1, #scopes do
        local s = scopes[i]
        local rpm, tpm = tonumber(s.rpm or 0), tonumber(s.tpm or 0)
        s.fields = {'HSET', s.rate}
        if rpm > 0 or tpm > 0 then
            local r = call('HMGET', s.rate, 'requests', 'tokens', 'given')
            s.given = r[3] or '0'
            if rpm > 0 then
                look(s, 'requests', rpm, 1, tonumber(r[1] or 0), cost_of(1, rpm))
            end
            if tpm > 0 then
                look(s, 'tokens', tpm, tokens, tonumber(r[2] or 0))
            end
        end
    end
    return {late = late, tell = tell, book = book}
end

-- What goes back to both rates of a call whose entry had that tail and which used so many tokens: for put_back(), since
-- this only reads.
local function unused(tail, account_rate, key_rate, used)
    local tokens, of_account, of_key = match(tail, '^ (%d+) (%S+) (%S+)$')
    tokens = tonumber(tokens)
    local list = {}
    if not tokens or used >= tokens then
        return list
    end
    local now = micros(call('TIME'))

    local function look(rate, share)
        local cost, finish, given = match(share, '^(%d+):(%d+):(%d+)$')
        local r = cost and call('HMGET', rate, 'tokens', 'given')
        if not r or not r[1] or not r[2] then
            return
        end
        local moved = (r[2] - given) % GIVEN_WRAPS
        local back = math.min(math.floor(cost * (tokens - used) / tokens), finish - moved - now)
        if back > 0 then
            list[#list + 1] = {rate, integer(r[1] - back), integer((r[2] + back) % GIVEN_WRAPS)}
        end
    end
    look(account_rate, of_account)
    look(key_rate, of_key)
    return list
end

local function put_back(list)
    for i = 1, #list do
        call('HSET', list[i][1], 'tokens', list[i][2], 'given', list[i][3])
    end
end
