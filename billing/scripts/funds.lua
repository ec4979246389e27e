-- funds.lua - an account's purse, and the money in it that no call moves (credits, adjustments, grants and what is taken
-- back of these), put before apply_account.lua.
--
-- An amount in the account's own currency moves `balance` and `room`. Any other, and every amount while
-- the account is not opened yet, is kept in `foreign:<currency>` of the account; once the account is
-- opened such a sum stands in suspense as `currency <account> <currency>`. `funds:<currency>` is what all that is no call
-- has moved, so calls have cost that less the balance. Sums of zero are absent.
local ops = KEYS[5]

local function purse(account, key, currency)
    local a = call('HMGET', key, 'opened', 'currency', 'balance', 'room', 'foreign:' .. currency,
                   'funds:' .. currency)
    local own = a[1] and a[2] == currency
    return {key = key, opened = a[1], own = own, field = own and 'balance' or 'foreign:' .. currency,
            sum = own and a[3] or not own and a[5], room = a[4], name = account .. ' ' .. currency,
            funds = a[6], funds_field = 'funds:' .. currency}
end

local function purse_takes(p)
    return can_add(p.sum) and can_add(p.room) and can_add(p.funds)
end

local function note_foreign(name, sum)
    local entry = 'currency ' .. name
    if was_dropped(entry, sum) then
        call('HDEL', suspense, entry)
    else
        call('HSET', suspense, entry, 'account-has-another-currency ' .. sum)
    end
end

local function pay(p, amount)
    call('HINCRBY', p.key, p.field, amount)
    if p.own then
        call('HINCRBY', p.key, 'room', amount)
        return
    end
    local sum = call('HGET', p.key, p.field)
    if sum == '0' then
        call('HDEL', p.key, p.field)
        call('HDEL', suspense, 'currency ' .. p.name)
    elseif p.opened then
        note_foreign(p.name, sum)
    end
end

-- Money that no call moves.
local function deposit(p, amount)
    pay(p, amount)
    call('HINCRBY', p.key, p.funds_field, amount)
    if call('HGET', p.key, p.funds_field) == '0' then
        call('HDEL', p.key, p.funds_field)
    end
end

-- ---- operations: of one the earliest record counts, whatever its kind

-- KEYS of all of them: account, booked, grants, expiring. Their first fields: account, operation, currency, amount, at,
-- period.
local function keys_of(r)
    return {id = ARGV[r.f], op = ARGV[r.f + 1], account = KEYS[r.k], booked = KEYS[r.k + 1],
            grants = KEYS[r.k + 2], expiring = KEYS[r.k + 3]}
end

local function read_operation(text)
    local o = {}
    o.at, o.writer, o.n, o.amount, o.currency, o.kind, o.period =
        match(text, '^(%d+) (%S+) (%d+) (%-?%d+) (%S+) (%S+) (%S+)')
    return o
end

-- What is taken back of a grant, `new` being a step that is not there yet, or nil: as operations that move money, and
-- whether it is over.
local function expiries(t, grant, new)
    local chain = chain_of(grant, function(taken)
        if new and new.taken == taken then
            return new
        end
        local text = call('HGET', t.grants, t.op .. ' ' .. taken)
        return text and read_step(text)
    end)
    local list = {is_over = chain.is_over}
    for i, step in ipairs(chain) do
        list[i] = {kind = 'expiry', currency = grant.currency, amount = negate(step.counted), period = step.period}
    end
    return list
end

-- An operation with all that follows from it.
local function moves_of(t, o)
    local list = o.kind == 'grant' and expiries(t, o) or {}
    list[#list + 1] = o
    return list
end

-- Finds where each is booked: the purse, and the sum of its kind in its period. False when one would be too large.
local function find_places(t, list)
    for _, o in ipairs(list) do
        o.purse = purse(t.id, t.account, o.currency)
        o.sum = o.period .. ' ' .. o.kind .. ' ' .. o.purse.name
        local sums = call('HMGET', t.booked, o.sum, o.sum .. ' count')
        if not (purse_takes(o.purse) and can_add(sums[1]) and can_add(sums[2])) then
            return false
        end
    end
    return true
end

-- Counts them (1), or takes them back (-1). Sums of nothing are absent.
local function move(t, list, times)
    for _, o in ipairs(list) do
        local amount, count = times == 1 and o.amount or negate(o.amount), o.sum .. ' count'
        deposit(o.purse, amount)
        call('HINCRBY', t.booked, o.sum, amount)
        call('HINCRBY', t.booked, count, times)
        if call('HGET', t.booked, count) == '0' then
            call('HDEL', t.booked, o.sum, count)
        end
    end
end

-- Where a console looks for grants that end: those that are not over, by when they do (ms).
local function list_expiring(t, expires, is_over)
    if is_over then
        call('ZREM', t.expiring, t.id .. ' ' .. t.op)
    else
        call('ZADD', t.expiring, sub(expires, 1, -7), t.id .. ' ' .. t.op)
    end
end

local function write_grant(t, new, r, is_over)
    call('HSET', t.grants, t.op, new.at .. ' ' .. writer .. ' ' .. r.n .. ' ' .. new.amount .. ' ' .. new.currency
        .. ' ' .. new.period .. ' ' .. new.expires .. ' ' .. new.spent)
    list_expiring(t, new.expires, is_over)
end

-- Fields of a grant then: expires (nanos), spent.
local function book_funds(r)
    local t, f = keys_of(r), r.f
    local new = {kind = r.kind, currency = ARGV[f + 2], amount = ARGV[f + 3], at = ARGV[f + 4], period = ARGV[f + 5]}
    local is_grant = new.kind == 'grant'
    if is_grant then
        new.expires, new.spent = ARGV[f + 6], ARGV[f + 7]
    end
    if not is_amount(new.amount) or is_grant and not (find(new.amount, '^[1-9]') and can_add(new.spent)) then
        return 'amount-is-out-of-range'
    end
    local old = call('HGET', ops, t.id .. ' ' .. t.op)
    if old then
        old = read_operation(old)
        if is_before(old.at, old.writer, old.n, new.at, writer, r.n) then
            keep(r)
            return
        end
    end
    local before, after = old and moves_of(t, old) or {}, moves_of(t, new)
    if not (find_places(t, before) and find_places(t, after)) then
        return 'sum-is-too-large'
    end
    keep(r)
    move(t, before, -1)
    move(t, after, 1)
    call('HSET', ops, t.id .. ' ' .. t.op, new.at .. ' ' .. writer .. ' ' .. r.n .. ' ' .. new.amount .. ' '
        .. new.currency .. ' ' .. new.kind .. ' ' .. new.period .. (is_grant and ' ' .. new.expires or ''))
    if is_grant then
        write_grant(t, new, r, after.is_over)
    elseif old and old.kind == 'grant' then
        call('HDEL', t.grants, t.op)
        list_expiring(t, '', true)
    end
end

-- A step in which a grant is taken back; its operation is the grant's. Fields then: spent, taken, left. Nothing moves
-- before the grant is there.
local function book_expiry(r)
    local t, f = keys_of(r), r.f
    local new = {amount = ARGV[f + 3], at = ARGV[f + 4], period = ARGV[f + 5], spent = ARGV[f + 6], taken = ARGV[f + 7],
                 left = ARGV[f + 8]}
    local numbers = new.amount .. new.taken .. new.left
    if not (is_amount(new.amount) and is_amount(new.taken) and is_amount(new.left) and can_add(new.spent))
        or find(numbers, '-', 1, true) or new.amount == '0' and new.left ~= '0' then
        return 'amount-is-out-of-range'
    end
    local field = t.op .. ' ' .. new.taken
    local old, grant = call('HGET', t.grants, field), call('HGET', t.grants, t.op)
    local reserve = read_reserve(t.account)
    reserve = reserve and reserve.op == t.op and reserve.taken == new.taken and reserve
    old, grant = old and read_step(old), grant and read_grant(t.op, grant)
    local is_late = old and is_before(old.at, old.writer, old.n, new.at, writer, r.n)
    local before = grant and expiries(t, grant) or {}
    local after = grant and expiries(t, grant, not is_late and new or nil) or {}
    if not (find_places(t, before) and find_places(t, after) and can_add(call('HGET', t.account, 'room'))) then
        return 'sum-is-too-large'
    end
    keep(r)
    if reserve then
        release_reserve(t.account, reserve)
    end
    if is_late then
        return
    end
    move(t, before, -1)
    move(t, after, 1)
    call('HSET', t.grants, field, new.at .. ' ' .. writer .. ' ' .. r.n .. ' ' .. new.amount .. ' ' .. new.period .. ' '
        .. new.spent .. ' ' .. new.left)
    if grant then
        list_expiring(t, grant.expires, after.is_over)
    end
end
