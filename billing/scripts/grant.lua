-- grant.lua - what is known of an account's grants, put before funds.lua and grants.lua.
--
-- `grants:<account>` has of each grant, under its operation, "at writer n nanos currency period expires spent", and under
-- "<operation> <taken>" each step in which it was taken back, as "at writer n nanos period spent left": `taken` is what
-- earlier steps had taken, `left` what was not taken yet since open calls held it, `spent` what all calls of the account
-- had cost when it was decided.
local function read_grant(op, text)
    local g = {op = op, kind = 'grant'}
    g.at, g.writer, g.n, g.amount, g.currency, g.period, g.expires, g.spent =
        match(text, '^(%d+) (%S+) (%d+) (%d+) (%S+) (%S+) (%d+) (%d+)$')
    return g
end

local function read_step(text)
    local s = {}
    s.at, s.writer, s.n, s.amount, s.period, s.spent, s.left =
        match(text, '^(%d+) (%S+) (%d+) (%d+) (%S+) (%d+) (%d+)$')
    return s
end

-- The steps that count: each begins where the one before it ended, and together they take no more than was given. So it
-- follows from the set of records alone, however many consoles decided at once. `step_at` gives the step that begins at
-- an amount, or nothing.
local function chain_of(grant, step_at)
    local chain = {total = '0', is_over = false}
    while not chain.is_over do
        local step = step_at(chain.total)
        if not step then
            break
        end
        local rest = minus(grant.amount, chain.total)
        step.counted = less(rest, step.amount) and rest or step.amount
        chain[#chain + 1] = step
        chain.total = plus(chain.total, step.counted)
        chain.is_over = step.left == '0' or chain.total == grant.amount
    end
    return chain
end

-- "amount operation taken writer ms" of an account: what a console has set aside to take back, until its record is applied.
local function read_reserve(account)
    local text = call('HGET', account, 'reserve')
    if text then
        local v = {}
        v.amount, v.op, v.taken, v.writer, v.ms = match(text, '^(%d+) (%S+) (%d+) (%S+) (%d+)$')
        return v
    end
end

local function release_reserve(account, reserve)
    call('HDEL', account, 'reserve')
    call('HINCRBY', account, 'room', reserve.amount)
end
