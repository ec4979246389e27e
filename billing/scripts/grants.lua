-- grants.lua - what is left of an account's grants, and how much of one that has ended is to be taken back.
--
-- KEYS: state, account, grants. ARGV: verb; of `expire` then installation, run_id, writer, operation of the grant, now (nanos).
--
--   look    {OK, balance, room, spent, then of each grant that is not over, in the order in which they are used: operation,
--           nanos, left, expires}. Writes nothing
--   expire  {OK, amount, left, taken, spent, currency}: `amount` is to be taken back now, and until the record that says so is
--           applied it is set aside, so that no call is admitted with it; `left` is what open calls may yet need, to be
--           asked for again when they have ended. {WAIT}: nothing can be taken now. {NOTHING}: it is over, or no grant.
--           {EARLY}: it has not ended. Else one word that says why the partition cannot be asked
--
-- What was used of each follows from what the account's calls have cost in all: from one record to the next that cost is
-- paid by the grants there were, in the order (expires, at, operation), and what is left of it by paid money.
local state, account, grants, verb = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local RESERVED_MS = 60000

local function is_negative(s)
    return sub(s, 1, 1) == '-'
end

-- What calls have cost: all that came in, less the balance.
local function spent_of(funds, balance)
    if is_negative(balance) then
        return is_negative(funds) and minus(negate(balance), negate(funds)) or plus(funds, negate(balance))
    end
    return is_negative(funds) and '0' or minus(funds, balance)
end

local function is_used_before(a, b)
    if a.expires ~= b.expires then
        return less(a.expires, b.expires)
    elseif a.at ~= b.at then
        return less(a.at, b.at)
    end
    return a.op < b.op
end

-- When, by what calls had cost, each was given and taken back.
local function events_of(list, by_field)
    local events = {}
    for _, g in ipairs(list) do
        local chain = chain_of(g, function(taken)
            local text = by_field[g.op .. ' ' .. taken]
            return text and read_step(text)
        end)
        g.taken, g.is_over = chain.total, chain.is_over
        events[#events + 1] = {g = g, spent = g.spent, turn = 0}
        for i, step in ipairs(chain) do
            events[#events + 1] = {g = g, spent = less(step.spent, g.spent) and g.spent or step.spent, turn = i,
                                   takes = i == #chain and chain.is_over and g.amount or step.counted}
        end
    end
    table.sort(events, function(a, b)
        if a.spent ~= b.spent then
            return less(a.spent, b.spent)
        elseif a.turn ~= b.turn then
            return a.turn < b.turn
        end
        return is_used_before(a.g, b.g)
    end)
    return events
end

-- Puts it into its place among those that may have something left, the next to be used first: so that a walk over years of
-- grants looks at each once.
local function enqueue(queue, g)
    local i = #queue
    while i > 0 and queue[i].rank > g.rank do
        i = i - 1
    end
    table.insert(queue, i + 1, g)
end

-- The account's grants of that currency in the order of their use, each with what is left of it.
local function positions(currency, spent)
    local all, by_field, list, queue, passed = call('HGETALL', grants), {}, {}, {}, '0'
    for i = 1, #all, 2 do
        by_field[all[i]] = all[i + 1]
        if not find(all[i], ' ', 1, true) then
            local g = read_grant(all[i], all[i + 1])
            if g.currency == currency then
                list[#list + 1] = g
            end
        end
    end
    table.sort(list, is_used_before)
    for i, g in ipairs(list) do
        g.rank = i
    end
    local function use(upto)
        upto = less(spent, upto) and spent or upto
        local rest = less(passed, upto) and minus(upto, passed) or '0'
        while rest ~= '0' and queue[1] do
            local g = queue[1]
            local used = less(g.left, rest) and g.left or rest
            g.left, rest = minus(g.left, used), minus(rest, used)
            if g.left == '0' then
                table.remove(queue, 1)
            end
        end
        passed = less(passed, upto) and upto or passed
    end
    for _, event in ipairs(events_of(list, by_field)) do
        local g = event.g
        use(event.spent)
        if event.takes then
            g.left = less(g.left, event.takes) and '0' or minus(g.left, event.takes)
        else
            g.left = g.amount
            enqueue(queue, g)
        end
    end
    use(spent)
    return list
end

local a = call('HMGET', account, 'opened', 'currency', 'balance', 'room')
local own, room = a[1] and a[2], a[4] or '0'

local function spent_in(currency)
    local sums = call('HMGET', account, 'funds:' .. currency, 'foreign:' .. currency)
    return spent_of(sums[1] or '0', (currency == own and a[3] or currency ~= own and sums[2]) or '0')
end

local verbs = {}

function verbs.look()
    local spent = spent_in(own or '')
    local answer = {'OK', a[3] or '0', room, spent}
    for _, g in ipairs(positions(own or '', spent)) do
        if not g.is_over then
            local n = #answer
            answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = g.op, g.amount, g.left, g.expires
        end
    end
    return answer
end

local function refusal()
    local s = call('HMGET', state, 'installation', 'run_id', 'parked', 'retired ' .. ARGV[4])
    if s[1] ~= ARGV[2] then
        return {'INSTALLATION'}
    elseif s[4] then
        return {'RETIRED'}
    elseif s[3] then
        return {'PARKED'}
    elseif s[2] ~= ARGV[3] then
        return {'RECOVERING'}
    elseif not can_add(room) then
        return {'MALFORMED'}
    end
end

-- The grant with what is left of it, and what its currency's calls have cost; nil when there is none.
local function find_grant(op)
    local text = call('HGET', grants, op)
    if not text then
        return nil
    end
    local currency = read_grant(op, text).currency
    local spent = spent_in(currency)
    for _, g in ipairs(positions(currency, spent)) do
        if g.op == op then
            return g, spent
        end
    end
end

-- Takes `amount` out of what calls may use. Calls of another currency than the account's are not admitted at all.
local function reserve(g, amount, writer, now)
    call('HINCRBY', account, 'room', negate(amount))
    call('HSET', account, 'reserve', amount .. ' ' .. g.op .. ' ' .. g.taken .. ' ' .. writer .. ' '
        .. string.format('%d', now))
end

function verbs.expire()
    local refused, writer = refusal(), ARGV[4]
    if refused then
        return refused
    end
    local g, spent = find_grant(ARGV[5])
    local time, old = call('TIME'), read_reserve(account)
    local now = tonumber(time[1]) * 1000 + math.floor(time[2] / 1000)
    if not g or g.is_over then
        return {'NOTHING'}
    elseif less(ARGV[6], g.expires) then
        return {'EARLY'}
    elseif old and old.writer ~= writer and now < tonumber(old.ms) + RESERVED_MS then
        return {'WAIT'}
    end
    if old then
        release_reserve(account, old)
        room = call('HGET', account, 'room')
    end
    local free = g.currency ~= own and g.left or is_negative(room) and '0' or room
    local amount = less(free, g.left) and free or g.left
    local left = minus(g.left, amount)
    if amount == '0' and left ~= '0' then
        return {'WAIT'}
    elseif amount ~= '0' and g.currency == own then
        reserve(g, amount, writer, now)
    end
    return {'OK', amount, left, g.taken, spent, g.currency}
end

return verbs[verb]()
